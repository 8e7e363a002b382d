# The commands of the project. `make demo` and `make test` need Python 3.11 to 3.13 (with venv) and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow check bench install lock wheel starter-wheel clean up down

demo: install     ## from real audio to a trained, evaluated, queryable model
	@$(BIN)/uniaudio demo

test: install     ## the fast tests, at most 8 minutes on 2 cores
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

test-slow: install
	@$(BIN)/python -m pytest -m "slow and not bench"

bench: install
	@$(BIN)/python -m pytest -m bench tests/bench -s

check: install    ## ruff, mypy, import rules, dead code
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/vulture

install:
	@$(PYTHON) infra/install.py dev

lock: install     ## infra/lock.txt: every version and hash, for Linux and macOS and Python 3.11 to 3.13; constraints.txt: the versions alone
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --extra dev --extra pesq --extra baselines --extra curves pyproject.toml \
	  -c infra/constraints.txt --generate-hashes --no-emit-index-url --no-annotate --no-header -o infra/lock.txt
	@sed -nE 's/^([^ ]+==[^\\]*[^ \\]) *\\?$$/\1/p' infra/lock.txt > infra/constraints.txt

wheel: install    ## dist/: the source distribution and the wheel
	@$(BIN)/python -m build --outdir dist

starter-wheel: install    ## dist/: the weights of models/starter as a wheel of their own
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist infra/starter

docs: install     ## site/: the documents; a link or a name that leads nowhere ends it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -q

up: install       ## Prefect server and worker, Ray head, all on loopback
	@$(BIN)/uniaudio up

down:
	@$(BIN)/uniaudio down

clean:            ## what can be made again; never the data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
