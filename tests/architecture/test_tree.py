"""The tree and the data flow are the same thing."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from uniaudio_schemas.store import KINDS as ALL_KINDS

ROOT = Path(__file__).resolve().parents[2]
EDGES = sorted(path.parent.name for path in (ROOT / "pipelines/uniaudio_pipelines").glob("*/job.py"))
KINDS = set(ALL_KINDS) - {"dropped"}
ON_THE_WAY = {"cuts": "raw_to_annotated"}
"""Kinds that an edge makes on its way to the kind of its name, each by a job of its own."""
SOURCES = [path for folder in ("schemas", "uniaudio", "pipelines", "flows") for path in (ROOT / folder).rglob("*.py")]
HARD_LIMIT_LINES = 500


def kind_of(edge: str) -> str:
    """What its name says that it writes: `codec_scores` of `codec_to_scores`, since `scores` are a checkpoint's."""
    reads, writes = edge.split("_to_")
    return f"{reads}_{writes}" if f"{reads}_{writes}" in KINDS else writes


def written_by(edge: str) -> list[str]:
    job = importlib.import_module(f"uniaudio_pipelines.{edge}.job")
    return [value.WRITES for value in vars(job).values() if getattr(value, "EDGE", None) == edge]


def test_every_kind_is_written_by_exactly_one_edge() -> None:
    assert sorted(kind for edge in EDGES for kind in written_by(edge)) == sorted(KINDS)
    assert sorted([*(kind_of(edge) for edge in EDGES), *ON_THE_WAY]) == sorted(KINDS)


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_reads_and_writes_what_its_name_says(edge: str) -> None:
    assert edge.split("_to_")[0] in KINDS | {"source"}
    assert sorted(written_by(edge)) == sorted([kind_of(edge), *(kind for kind, by in ON_THE_WAY.items() if by == edge)])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_one_module_in_schemas(kind: str) -> None:
    assert (ROOT / f"schemas/uniaudio_schemas/kinds/{kind}.py").exists()


def test_the_deployments_are_the_flows_of_the_tree() -> None:
    entrypoints = re.findall(
        r"entrypoint: uniaudio_flows\.(\w+)\.(\w+)", (ROOT / "flows/uniaudio_flows/prefect.yaml").read_text()
    )
    written = {path.stem: path.read_text() for path in (ROOT / "flows/uniaudio_flows").glob("*.py")}
    flows = {name for name, text in written.items() if re.search(rf"^{name} = (flow|told)\(", text, re.MULTILINE)}
    assert {module for module, _ in entrypoints} == flows
    assert all(module == function for module, function in entrypoints)
    assert len(flows) == 12


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_does_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or not text.strip(), "no module docstring"
    assert len(text.splitlines()) <= HARD_LIMIT_LINES


def test_no_module_takes_a_standard_library_name() -> None:
    import sys

    assert [path for path in SOURCES if path.stem in sys.stdlib_module_names - {"__init__", "__main__"}] == []
