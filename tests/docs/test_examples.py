"""The examples run, as they stand in the tree."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from uniaudio.run.model import UniAudio
from uniaudio.shipped import shipped_codec

EXAMPLES = ROOT / "examples"
SCRIPTS = {
    "encode_decode.py": ("2.00 s of audio", "(10, 8)", "(25, 8)", "decoded 48000 samples"),
    "train_tiny.py": ("asr", "tts", "nats a token"),
    "train_starter.py": ("step 0: held out", "audio_caption", "stage3 1/1 steps", "weights in trained"),
    "query_tokens.py": ("reasoning_frames", "codebook_7", "queen"),
    "generate.py": ("asr ", "s in spoken.wav"),
}
"""Script -> what it prints."""
OPTIONS = {"train_starter.py": ["--steps", "1", "--out", "trained"]}
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")
"""Its blocks are called `{.python}`: a formatter of Python takes `--8<--` for a comparison."""
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(SCRIPTS)
    assert len(NOTEBOOKS) == 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_page_on_python_shows_every_example(name: str) -> None:
    assert f'```{{.python}}\n--8<-- "examples/{name}"\n```' in PAGE


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_does_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *OPTIONS.get(name, [])])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr().out
    assert [words for words in SCRIPTS[name] if words not in printed] == []


def test_the_starter_goes_on_where_it_was_cut_off_and_is_read_beside_the_codec_of_its_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(EXAMPLES / "train_starter.py"))
    out = tmp_path / "trained"
    monkeypatch.setitem(script["main"].__globals__, "CHECKPOINT_EVERY", 1)
    keep = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda folder: None)
    script["main"](["--steps", "2", "--out", str(out)])
    whole = (out / "model.safetensors").read_bytes()
    keep(out / "training" / "2")
    (out / "training" / "2").mkdir()
    capsys.readouterr()
    script["main"](["--steps", "2", "--out", str(out)])
    assert "stage3 1/2" not in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == whole
    model = UniAudio.from_pretrained(out, codec=shipped_codec())
    assert set(model.tasks) == {"asr", "audio_caption", "audio_understanding", "text_to_sound", "tts"}
    assert model.codec.fingerprint == model.parts.codec_fingerprint


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_run_in_order(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "a notebook is kept without its outputs"
            exec(compile("".join(cell["source"]), f"{path.name} {cell['id']}", "exec"), names)  # noqa: S102
