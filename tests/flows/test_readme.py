"""What the README tells its reader to type, typed: on a corpus of bells alone, which has no text and no speech."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from uniaudio_schemas.store import Store

from tests.flows.conftest import Services

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
SHELL = [line.partition("#")[0].strip() for language, block in BLOCKS if not language for line in block.splitlines()]
COMMANDS = [line for line in SHELL if line.startswith(("make ", "prefect ", "uniaudio "))]


def test_the_first_command_stands_at_the_top() -> None:
    assert any(line.startswith("make demo") for line in README.splitlines()[:5])


@pytest.mark.parametrize("command", sorted({line for line in COMMANDS if line.startswith("make ")}))
def test_every_target_of_make_exists(command: str) -> None:
    done = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:[\w.]+/)+[\w.]*)`", README))))
def test_every_file_it_names_exists(path: str) -> None:
    if path.removeprefix("./").startswith("data") or path.endswith("/local"):
        pytest.skip("made by a run")
    assert (ROOT / path).exists()


def lay_out_test_set(folder: Path) -> None:
    """Another bell than the corpus has."""
    soundfile = pytest.importorskip("soundfile")
    folder.mkdir()
    seconds = np.arange(32_000) / 16_000
    soundfile.write(folder / "gong.wav", 0.3 * np.sin(2 * np.pi * 83 * seconds) * np.exp(-2 * seconds), 16_000)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(1800)
def test_its_commands_make_and_show_the_data(services: Services) -> None:
    # The README's reader has the demo's corpora; this one has bells.
    commands = [line.replace("forget queen", "forget bells") for line in COMMANDS if not line.startswith("make ")]
    assert "prefect deployment run build-multitask-data/local --watch" in commands
    assert "prefect deployment run everything/local --watch" in commands
    printed = {}
    lay_out_test_set(services.data / "test")
    for command in commands:
        program, *arguments = (re.sub(r"^data/", f"{services.data}/", word) for word in command.split())
        done = services.run([str(Path(sys.executable).with_name(program)), *arguments])
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        printed[command] = done.stdout
    assert "scores" in printed["uniaudio show"]
    assert "stage4" in printed["uniaudio lineage checkpoint"] and "bells" in printed["uniaudio lineage checkpoint"]
    assert "hold different rows" in printed["uniaudio diff checkpoint stage3 stage4"]
    assert "nothing was written" in printed["uniaudio forget bells"]
    assert "bells" in printed["uniaudio ingest data/source --dry-run"]
    assert (services.data / "report.html").stat().st_size > 100_000
    assert Store(services.data / "store").head("evalset", "bell-test") is not None
    store = Store(services.data / "store")
    assert store.head("checkpoint", "text_warmup") is None, "bells hold no text to warm up on"
    assert store.head("checkpoint", "stage4") is not None
    made = services.data / "made"
    for line in [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]:
        if "data/store" in line:
            moved = {"data/store": str(store.root), "model": str(made), "model/codec": f"{made}/codec"}
            arguments = [moved.get(word, word) for word in shlex.split(line, comments=True)]
            done = services.run([str(Path(sys.executable).with_name(arguments[0])), *arguments[1:]])
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    assert "ReasoningCodec debug" in (services.data / "quality" / "evaluation.md").read_text()
    (snippet,) = [block for language, block in BLOCKS if language == "python" and "Store(" in block]
    script = snippet.replace('Store("data/store")', f"Store({str(store.root)!r})")
    shown = services.run([sys.executable, "-c", script])
    assert shown.returncode == 0, shown.stderr
