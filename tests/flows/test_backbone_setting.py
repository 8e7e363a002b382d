"""`UNIAUDIO_BACKBONE`: one setting that three flows agree on."""

from pathlib import Path

import pytest
from uniaudio_flows import build_sequences, evaluate_checkpoint, train_stage
from uniaudio_flows.settings import load_settings, service_environment


def test_a_backbone_reaches_sequences_training_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAUDIO_BACKBONE", "models/smollm2")
    folder = str(tmp_path / "models" / "smollm2")
    assert build_sequences.job().tokenizer == folder
    assert train_stage.job().backbone == folder
    assert evaluate_checkpoint.job().tokenizer == folder
    assert service_environment(load_settings())["UNIAUDIO_BACKBONE"] == folder


def test_without_one_text_is_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIAUDIO_BACKBONE", raising=False)
    assert build_sequences.job().tokenizer == "bytes"
    assert train_stage.job().backbone == evaluate_checkpoint.job().tokenizer == ""
