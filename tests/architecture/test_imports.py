"""What import-linter cannot see: what a fresh interpreter really loads."""

import subprocess
import sys

import pytest

BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
"""
FLOWS = (
    "everything ingest_corpus annotate_corpus train_codec build_multitask_data tokenize_corpus retokenize_stale "
    "build_sequences train_stage evaluate_checkpoint"
)
EXTRAS = {
    "ray",
    "prefect",
    "polars",
    "pandas",
    "transformers",
    "tokenizers",
    "soundfile",
    "av",
    "soxr",
    "torchaudio",
    "scipy",
    "onnxruntime",
    "obstore",
}


def run_blocked(blocked: set[str], code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER.format(blocked=blocked) + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_flows_import_without_torch() -> None:
    run_blocked(
        {"torch", "transformers", "torchaudio"}, "\n".join(f"import uniaudio_flows.{name}" for name in FLOWS.split())
    )


def test_schemas_import_with_pyarrow_alone() -> None:
    names = ("kinds", "store", "store.runs", "history.lineage", "history.forget", "history.difference", "testing")
    run_blocked(EXTRAS | {"torch"}, "\n".join(f"import uniaudio_schemas.{name}" for name in names))


@pytest.mark.parametrize(
    "module",
    [
        "uniaudio",
        "uniaudio.lm",
        "uniaudio.codec",
        "uniaudio.training",
        "uniaudio.sequence",
        "uniaudio.tasks",
        "uniaudio.stages",
    ],
)
def test_the_library_imports_with_its_base_alone(module: str) -> None:
    run_blocked(EXTRAS, f"import {module}")


def test_the_command_line_is_light() -> None:
    code = "import sys, uniaudio.cli, uniaudio_flows.cli; assert not {'torch', 'prefect', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
