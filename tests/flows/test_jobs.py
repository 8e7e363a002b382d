"""What the flows hand to the edges, from settings and parameters alone."""

from importlib import import_module
from pathlib import Path

import pytest

FLOWS = (
    "ingest_corpus",
    "annotate_corpus",
    "train_codec",
    "build_multitask_data",
    "tokenize_corpus",
    "build_sequences",
    "train_stage",
    "evaluate_checkpoint",
)


@pytest.mark.parametrize("name", FLOWS)
def test_every_flow_has_a_job_that_computes_where_the_settings_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    monkeypatch.setenv("UNIAUDIO_DEVICE", "cuda")
    job = import_module(f"uniaudio_flows.{name}").job()
    assert job.WRITES
    if hasattr(job, "device"):
        assert (job.device, job.num_gpus) == ("cuda", 1.0)


@pytest.mark.parametrize("name", ["train_codec", "train_stage"])
def test_the_size_is_the_settings_unless_the_run_says_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = import_module(f"uniaudio_flows.{name}").job
    assert job().size == "debug"
    monkeypatch.setenv("UNIAUDIO_SIZE", "starter")
    assert job().size == "starter"
    assert job(size="debug").size == "debug"


def test_a_codec_of_starter_size_finds_whisper_among_the_models_and_debug_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniaudio_flows.train_codec import job

    monkeypatch.setenv("UNIAUDIO_MODELS", str(tmp_path))
    assert (job().encoders, job(size="starter").encoders) == ("", str(tmp_path))
    given = job("starter", ["scalar"], {"scalar": 9}, "/encoders")
    assert (given.phases, given.num_steps, given.encoders) == (("scalar",), {"scalar": 9}, "/encoders")
