"""What the flows hand to the edges, from settings and parameters alone."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from uniaudio_flows import annotate_corpus, build_sequences, ingest_corpus, jobs, train_codec, train_stage
from uniaudio_flows.everything import STEPS
from uniaudio_flows.flow import plan
from uniaudio_flows.parameters import parameters_of
from uniaudio_flows.ray_jobs import submit
from uniaudio_flows.settings import load_settings, service_environment
from uniaudio_flows.steps import Step
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.pulse import pulse


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.flow)
def test_every_flow_has_a_job_that_computes_where_the_settings_say(
    step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    monkeypatch.setenv("UNIAUDIO_DEVICE", "cuda")
    job = step.job(load_settings(), {})
    assert step.kind == job.WRITES
    if hasattr(job, "device"):
        assert (job.device, job.num_gpus) == ("cuda", 1.0)
        on_cpu, fractional = (
            step.job(load_settings(), fields) for fields in ({"device": "cpu"}, {"num_gpus": 0.25, "device": None})
        )
        assert (on_cpu.device, on_cpu.num_gpus) == ("cpu", 0.0), "one step may run elsewhere"
        assert (fractional.device, fractional.num_gpus) == ("cuda", 0.25)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.flow)
def test_a_run_may_be_told_every_field_of_its_job_and_how_many_workers_share_it(step: Step) -> None:
    told = parameters_of(step)
    assert {*step.fields, "num_workers"} <= told.keys() | step.internal.keys()
    nested = parameters_of(STEPS[-1], own=False)[step.name].annotation.model_fields  # type: ignore[union-attr]
    assert {*step.fields, "num_workers"} - {"source", "models"} <= nested.keys() | step.internal.keys()


def test_the_number_of_workers_is_the_runs_and_the_plan_is_the_same(tmp_path: Path) -> None:
    """Of an edge that shares units and of one that trains with as many workers."""
    settings = load_settings()
    shared = plan(build_sequences.STEP, settings, {"num_workers": 3})
    assert (shared.job, shared.num_workers) == (build_sequences.job(settings, {}), 3)
    trained = plan(train_codec.STEP, settings, {"num_workers": 3})
    assert (trained.job.num_workers, trained.num_workers) == (3, None)
    asked: list[str] = []
    client = Mock(list_jobs=list, get_address=str, submit_job=lambda entrypoint, **_: asked.append(entrypoint))
    log = logging.getLogger("test")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("A line of text.")
    job = ingest_corpus.job(settings, {"source": str(tmp_path / "source")})
    here = settings.of_run({"store": str(tmp_path / "store")})
    for num_workers in (None, 3):
        submit(client, here, job, log, num_workers)
    assert "--num-workers" not in asked[0] and asked[1].endswith("--num-workers 3")


def test_steps_come_in_an_order_in_which_each_finds_what_it_reads() -> None:
    assert [*STEPS[-1].ancestors(), STEPS[-1]] == list(STEPS)
    for number, step in enumerate(STEPS):
        assert set(step.after) <= set(STEPS[:number])


@pytest.mark.parametrize("step", [train_codec.STEP, train_stage.STEP], ids=lambda step: step.flow)
def test_the_size_is_the_settings_unless_the_run_says_another(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    assert step.job(load_settings(), {}).size == "debug"
    monkeypatch.setenv("UNIAUDIO_SIZE", "starter")
    monkeypatch.setenv("UNIAUDIO_MODELS", "models")
    assert step.job(load_settings(), {}).size == "starter"
    assert step.job(load_settings().of_run({"size": "debug"}), {}).size == "debug"


@pytest.mark.parametrize(("size", "of_codec"), [("paper_1b", "released"), ("paper_3b", "released"), ("debug", "debug")])
def test_a_size_of_the_model_names_that_of_its_codec(size: str, of_codec: str) -> None:
    settings = load_settings().of_run({"size": size})
    assert train_codec.job(settings, {}).size == of_codec
    assert train_stage.job(settings, {}).size == size


def test_a_codec_of_starter_size_finds_whisper_among_the_models_and_debug_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_MODELS", str(tmp_path))
    settings = load_settings()
    jobs = [train_codec.job(settings, {}), train_codec.job(settings.of_run({"size": "starter"}), {})]
    assert [job.encoders for job in jobs] == ["", str(tmp_path)]
    fields = {"size": "starter", "phases": ["scalar"], "num_steps": {"scalar": 9}, "encoders": "/encoders"}
    given = train_codec.job(settings, fields)
    assert (given.phases, given.num_steps, given.encoders) == (("scalar",), {"scalar": 9}, "/encoders")


def test_a_codec_that_is_there_comes_from_the_run_or_from_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_CODEC", str(tmp_path / "mine"))
    assert train_codec.job(load_settings(), {"start": None}).start == str(tmp_path / "mine")
    assert train_codec.job(load_settings(), {"start": str(tmp_path / "other")}).start == str(tmp_path / "other")


def test_limits_of_a_source_count_where_the_run_leaves_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_SOURCE", str(tmp_path))
    (tmp_path / ".limits.json").write_text('{"max_speech_s": 300.0, "annotators": ["loudness"]}')

    def job(**fields: object) -> tuple[float, tuple[str, ...]]:
        made = annotate_corpus.job(load_settings(), fields)
        return made.max_speech_s, made.annotators

    default = annotate_corpus.RawToAnnotated().annotators
    assert job() == job(max_speech_s=0.0, annotators=list(default)) == (300.0, ("loudness",))
    assert job(max_speech_s=9.0) == (9.0, ("loudness",))
    assert job(source_limits=False) == (0.0, default)
    (tmp_path / ".limits.json").write_text('{"max_speach_s": 300.0}')
    with pytest.raises(UsageError, match="has max_speach_s"):
        job()


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(UsageError, match="`max_positions` must be a whole number"):
        build_sequences.job(load_settings(), {"max_positions": "many"})


def test_a_run_is_told_its_folders_and_what_it_is_not_told_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    told = settings.of_run(
        {"store": "s3://bucket/store", "source": "audio", "models": None, "size": "starter", "device": "default"}
    )
    assert (told.store, told.source, told.size) == ("s3://bucket/store", tmp_path / "audio", "starter")
    assert (told.models, told.device) == (settings.models, settings.device)
    assert settings.of_run({"store": "mine"}).store == str(tmp_path / "mine")


def test_services_are_told_the_data_folder_and_not_what_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose environment names another `UNIAUDIO_DATA` would else go on in the store of whoever started the services."""
    for name in ("UNIAUDIO_STORE", "UNIAUDIO_SOURCE", "UNIAUDIO_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAUDIO_MODELS", "models")
    told = service_environment(load_settings())
    assert told["UNIAUDIO_DATA"] == str(tmp_path)
    assert told["UNIAUDIO_MODELS"] == str(tmp_path / "models")
    assert "UNIAUDIO_STORE" not in told and "UNIAUDIO_SOURCE" not in told


def test_a_job_that_is_silent_is_spoken_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Workers that start and weights that are read say nothing."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(jobs, "pulse", lambda say, what: pulse(say, what, every_s=0.01))

    def lines() -> Iterator[str]:
        yield "first"
        deadline = time.monotonic() + 30
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
        yield "second"

    given = list(jobs._with_pulse(lines(), "sequences_to_checkpoint", logging.getLogger("test")))
    assert given == ["first", "second"]
    assert caplog.records[0].getMessage().startswith("sequences_to_checkpoint works on in silence (")


@pytest.mark.parametrize(
    ("exit_code", "message", "reason"),
    [
        (
            -9,
            "Job failed\nlast line of the log",
            "its process was killed (SIGKILL), as the system does where memory is full",
        ),
        (1, "Job failed\nModuleNotFoundError: No module named 'x'", "ModuleNotFoundError: No module named 'x'"),
        (None, None, "it ended as FAILED"),
    ],
)
def test_a_job_that_does_not_say_why_it_failed_has_a_reason(
    exit_code: int | None, message: str | None, reason: str
) -> None:
    assert jobs._reason(Mock(driver_exit_code=exit_code, message=message), "FAILED") == reason
