"""`uniaudio ingest`, up to where services would be asked."""

import json
from pathlib import Path

import pytest

from uniaudio.cli import main

soundfile = pytest.importorskip("soundfile")


def test_a_dry_run_says_what_the_folder_holds_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "source/corp/train"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", [0.0, 0.1] * 8_000, 8_000)
    said = {"file_name": "a.wav", "transcription": "hello", "speaker_id": 7}
    (folder / "metadata.jsonl").write_text(json.dumps(said) + "\n")
    (folder / "odd.xyz").write_text("?")
    before = sorted(tmp_path.rglob("*"))
    assert main(["ingest", str(tmp_path / "source"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    columns = "file_name is path, transcription is given_text, speaker_id is speaker"
    assert lines[:7] == [
        "corp",
        f"  format    manifests: train/metadata.jsonl ({columns})",
        "  clips     1 in 1 files, 2.0 s; with text 1 (100 %), with speaker 1 (100 %)",
        "  splits    train 1",
        "  problem   unsupported 1, such as",
        "              corp/train/odd.xyz: .xyz",
        "  card      corpora/corp.toml that says the same:",
    ]
    assert '              speaker = "speaker_id"' in lines
    assert main(["ingest", str(tmp_path / "source"), "--dry-run", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["name"], told["num_clips"], told["seconds"], told["splits"]) == ("corp", 1, 2.0, {"train": 1})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    assert main(["ingest", str(tmp_path / "nothing"), *more]) == 2
    assert "must be a folder of audio and text files, but" in capsys.readouterr().err
