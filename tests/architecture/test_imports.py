"""What import-linter cannot see: what a fresh interpreter really loads."""

import subprocess
import sys

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


def test_each_room_of_the_library_imports_first_and_with_its_base_alone() -> None:
    """In one interpreter, which has nothing of ours when each of them comes."""
    rooms = ("", ".lm", ".codec", ".training", ".sequence", ".tasks", ".stages")
    code = f"""
import importlib
for room in {rooms}:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("uniaudio", "uniaudio_schemas")]:
        del sys.modules[name]
    importlib.import_module("uniaudio" + room)
"""
    run_blocked(EXTRAS, code)


def test_the_command_line_is_light() -> None:
    code = "import sys, uniaudio.cli, uniaudio_flows.cli; assert not {'torch', 'prefect', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
