"""Many inputs at once: one that cannot be read costs the others nothing, and nothing that was given is written over."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from uniaudio.cli import main
from uniaudio.run.clips import write_clip
from uniaudio.run.folder import Parts, save_parts
from uniaudio.testing import a_waveform

SHORT = ["--max-text", "6", "--max-seconds", "0.4"]


def run(*arguments: object) -> int:
    return main(["run", *map(str, arguments), *SHORT])


@pytest.fixture
def mixed_folder(tmp_path: Path) -> Path:
    """Two clips with a broken one between them."""
    folder = tmp_path / "mixed"
    for name in ("0.wav", "2.wav"):
        write_clip(folder / name, a_waveform(0.4))
    (folder / "1.wav").write_text("no audio")
    return folder


@pytest.mark.parametrize("batch", [1, 8])
def test_a_broken_input_gets_its_error_and_the_others_the_answers_they_get_without_it(
    model_folder: Path, mixed_folder: Path, batch: int, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["asr", "--batch", batch, "--temperature", 1, "--model", model_folder]
    assert run(*given, mixed_folder) == 2
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [Path(line["input"]).name for line in lines] == ["0.wav", "1.wav", "2.wav"]
    assert "1.wav: is not an audio file that can be read: Format not recognised" in lines[1]["error"]
    assert sum("Format not recognised" in line for line in printed.err.splitlines()) == 1
    (mixed_folder / "1.wav").write_bytes((mixed_folder / "0.wav").read_bytes())
    assert run(*given, mixed_folder) == 0
    mended = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (mended[0], mended[2]) == (lines[0], lines[2])


def test_a_broken_input_does_not_shift_the_files_that_the_others_write(
    parts: Parts, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_parts(parts, tmp_path / "model")
    assert run("denoise", mixed_folder, "--out", tmp_path / "out", "--model", tmp_path / "model") == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("audio") for line in lines] == [[f"{tmp_path}/out/0.wav"], None, [f"{tmp_path}/out/2.wav"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.wav", "2.wav"]


def test_a_task_that_writes_reasoning_tokens_alone_prints_them(
    parts: Parts, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_parts(parts, tmp_path / "model")
    assert run("reasoning_copy", mixed_folder / "0.wav", "--model", tmp_path / "model") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert {len(frame) for frame in json.loads(line)["reasoning"]} == {8}


def test_scoring_goes_on_behind_a_broken_input(
    model_folder: Path, mixed_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "asr", str(mixed_folder), "--choice", "a", "--model", str(model_folder)]) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [sorted(line.keys() & {"error", "best"}) for line in lines] == [["best"], ["error"], ["best"]]


@pytest.mark.parametrize("out", ["mixed", "mixed/0.wav", "other/../mixed"])
def test_an_answer_never_replaces_an_input(mixed_folder: Path, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (mixed_folder / "0.wav").read_bytes()
    assert run("denoise", mixed_folder / "0.wav", "--out", mixed_folder.parent / out, "--model", "unused") == 2
    assert "`--out` must not lead to an input" in capsys.readouterr().err
    assert (mixed_folder / "0.wav").read_bytes() == before


def command(
    *arguments: object, encoding: str = "utf-8:strict", stdout: int | None = subprocess.PIPE
) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "uniaudio", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={"PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    return done.returncode, (done.stdout or b"").decode("utf-8"), done.stderr.decode("utf-8")


@pytest.mark.slow
def test_names_that_the_terminal_cannot_show_lose_no_result(model_folder: Path, tmp_path: Path) -> None:
    names = [f"{tmp_path}/\udcff.wav", f"{tmp_path}/你.wav"]
    for name in names:
        write_clip(Path(name), a_waveform(0.4))
    code, out, err = command("run", "asr", *names, "--model", model_folder, *SHORT, encoding="ascii:strict")
    assert code == 0, err
    assert [json.loads(line)["input"] for line in out.splitlines()] == names


@pytest.mark.slow
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = command("tasks", stdout=full.fileno())
    assert (code, err) == (2, "uniaudio: output: No space left on device\n")
