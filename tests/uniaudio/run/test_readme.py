"""What the README says on using a model, typed: with a tiny model that knows every task."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from uniaudio import cli
from uniaudio.run.folder import Parts, save_parts

README = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")
(SHELL,) = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [shlex.split(line, comments=True) for line in SHELL.splitlines()]
(PYTHON,) = [
    block for block in re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE) if "UniAudio" in block
]


def test_its_commands_and_its_program_work(
    parts: Parts, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(clip_folder, "recordings")
    shutil.copy("recordings/0.wav", "clip.wav")
    save_parts(parts, Path("model"))  # stands for the export; what needs a store is typed in tests/flows
    for program, *arguments in COMMANDS:
        if program == "export":
            monkeypatch.setenv(*arguments[0].split("=", 1))
        elif "data/store" not in arguments:
            assert cli.main(arguments) == 0, capsys.readouterr().err
    assert all(Path(name).stat().st_size for name in ("hello.wav", "captions.jsonl", "again.flac"))
    capsys.readouterr()
    exec(PYTHON, {})  # noqa: S102
    assert capsys.readouterr().out.endswith("\n")
