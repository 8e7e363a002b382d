"""The nightly flow: it works where something is left to encode, and says beforehand what that is."""

from pathlib import Path
from typing import Any

import pytest
from prefect.logging import disable_run_logger
from uniaudio_flows import retokenize_stale as module
from uniaudio_flows.retokenize_stale import ALONE, retokenize_stale, told_of
from uniaudio_pipelines.instructions_to_tokens.estimate import Estimate

from tests.pipelines.instructions_to_tokens.token_corpus import RATE, a_corpus


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Jobs that the flow runs, in a store of three clips without codes."""
    found: list[Any] = []
    monkeypatch.setenv("UNIAUDIO_STORE", str(tmp_path))
    monkeypatch.setattr(module, "make_all", lambda name, settings, planned: found.append(planned) or "content")
    return found


def run(**given: Any) -> Any:
    with disable_run_logger():
        return retokenize_stale.fn(**retokenize_stale.validate_parameters(given))


def test_a_dry_run_tells_what_is_left_and_runs_no_job(
    tmp_path: Path, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_corpus(tmp_path, [RATE] * 3)
    told: list[Estimate] = []
    monkeypatch.setattr(module, "told_of", lambda found: told.append(found) or "")
    assert run(dry_run=True) is None and not made
    assert [(found.clips, found.clips_to_encode) for found in told] == [(3, 3)]


def test_a_run_makes_the_tokens_alone(tmp_path: Path, made: list[Any]) -> None:
    a_corpus(tmp_path, [RATE] * 3)
    assert run(clips_per_unit=7, num_workers=3) == "content"
    (((step, job, num_workers),),) = made
    assert step == ALONE and (job.clips_per_unit, num_workers) == (7, 3)


def test_without_instructions_there_is_nothing_to_do(made: list[Any]) -> None:
    assert run() is None and not made


def test_an_estimate_is_told_in_one_line() -> None:
    known = Estimate(clips=1000, clips_to_encode=12, audio_hours=0.02, hours=0.1, cpu_hours=0.2, gpu_hours=0.0)
    said = "12 of 1000 clips have no codes: 1.2 min of audio"
    assert told_of(known) == f"{said}, about 0.10 h, 0.20 CPU-hours and 0.00 GPU-hours"
    unknown = Estimate(clips=1000, clips_to_encode=12, audio_hours=0.02, hours=None, cpu_hours=None, gpu_hours=None)
    assert told_of(unknown) == f"{said}; no run has encoded anything yet, so nobody knows what that costs"
