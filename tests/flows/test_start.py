"""What training starts from: `UNIAUDIO_BACKBONE`, or `start` of a run; the flows agree on what it is."""

from pathlib import Path

import pytest
from uniaudio_flows import build_sequences, evaluate_checkpoint, train_stage
from uniaudio_flows.everything import everything
from uniaudio_flows.settings import load_settings, service_environment
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.testing import a_plan, example_rows


def test_a_backbone_reaches_sequences_training_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAUDIO_BACKBONE", "models/smollm2")
    folder = str(tmp_path / "models" / "smollm2")
    settings = load_settings()
    assert build_sequences.job(settings, {}).tokenizer == folder
    assert train_stage.job(settings, {}).backbone == folder
    assert evaluate_checkpoint.job(settings, {}).tokenizer == folder
    assert service_environment(load_settings())["UNIAUDIO_BACKBONE"] == folder


def test_without_one_text_is_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIAUDIO_BACKBONE", raising=False)
    settings = load_settings()
    assert build_sequences.job(settings, {}).tokenizer == "bytes"
    assert train_stage.job(settings, {}).backbone == evaluate_checkpoint.job(settings, {}).tokenizer == ""


def test_a_tokenizer_of_the_run_counts_more_than_that_of_its_start() -> None:
    settings = load_settings()
    assert build_sequences.job(settings, {"tokenizer": "/mine"}).tokenizer == "/mine"
    assert evaluate_checkpoint.job(settings, {"tokenizer": "/mine"}).tokenizer == "/mine"


@pytest.fixture
def a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("UNIAUDIO_BACKBONE", raising=False)
    monkeypatch.setenv("UNIAUDIO_STORE", str(tmp_path / "store"))
    return tmp_path


def fields_of(start: str | None) -> dict[str, str]:
    """Those of the three jobs that say what training starts from."""
    settings = load_settings().of_run({"start": start})
    job = train_stage.job(settings, {})
    sequences, scores = build_sequences.job(settings, {}), evaluate_checkpoint.job(settings, {})
    return {
        "backbone": job.backbone, "model": job.model, "parent": job.parent,
        "vocabulary": sequences.tokenizer, "tokenizer": scores.tokenizer,
    }  # fmt: skip


def test_a_text_llm_a_whole_model_and_a_checkpoint_are_told_apart(
    a_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, names in (
        ("llm", ["config.json", "tokenizer.json"]),
        ("model", ["config.json", "vocabulary.json"]),
        ("released", ["config.json", "vocabulary.json", "tokenizer/tokenizer.json"]),
    ):
        for name in names:
            (a_store / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (a_store / folder / name).write_text("{}")
    monkeypatch.chdir(a_store)
    llm, model, released = (str(a_store / name) for name in ("llm", "model", "released"))
    nothing = {"backbone": "", "model": "", "parent": "", "vocabulary": "bytes", "tokenizer": ""}
    assert fields_of(None) == nothing
    assert fields_of("llm") == {**nothing, "backbone": llm, "vocabulary": llm, "tokenizer": llm}
    assert fields_of(model) == {**nothing, "model": model, "vocabulary": model}
    expected = {**nothing, "model": released, "vocabulary": released, "tokenizer": f"{released}/tokenizer"}
    assert fields_of(released) == expected
    store = Store(a_store / "store")
    with store.writer(a_plan("checkpoint", units=("all",)), owner="me", ref="stage3") as writer:
        writer.put_shard("all", example_rows("checkpoint"))
        writer.publish()
    monkeypatch.setenv("UNIAUDIO_BACKBONE", llm)
    assert fields_of("stage3") == {**nothing, "parent": "stage3", "vocabulary": llm, "tokenizer": llm}
    assert fields_of(None) == fields_of("llm")
    assert fields_of("model")["backbone"] == ""


@pytest.mark.parametrize("start", ["/none/there", "stage7"])
def test_a_start_that_is_none_of_these_is_named(a_store: Path, start: str) -> None:
    with pytest.raises(UsageError, match=f"or a ref of `checkpoint` such as stage3, but is {start}"):
        fields_of(start)


def test_every_deployment_behind_sequences_takes_a_start() -> None:
    for flow in (
        build_sequences.build_sequences,
        train_stage.train_stage,
        evaluate_checkpoint.evaluate_checkpoint,
        everything,
    ):
        assert "start" in flow.parameters.properties
