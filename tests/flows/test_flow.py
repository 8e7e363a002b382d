"""From what Prefect gives a run to settings and fields, on the flow's own parameters."""

from typing import Any

import pytest
from prefect.logging import disable_run_logger
from uniaudio_flows import annotate_corpus, train_codec, train_stage
from uniaudio_flows import flow as flows
from uniaudio_flows.annotate_corpus import annotate_corpus as annotate
from uniaudio_flows.deployments import told_by
from uniaudio_flows.everything import everything
from uniaudio_flows.parameters import parameters_of
from uniaudio_flows.settings import load_settings
from uniaudio_flows.steps import Step
from uniaudio_pipelines.ray_training.keeping import Keeping


def validated(flow: Any, **given: Any) -> dict[str, Any]:
    """As Prefect hands them to the function, defaults filled in."""
    found: dict[str, Any] = flow.validate_parameters(given)
    return found


def test_fields_of_a_step_come_from_its_own_parameters_or_from_the_one_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNIAUDIO_DEVICE", "cpu")
    own = flows.chosen(annotate_corpus.STEP, validated(annotate, max_speech_s=300, copies={"min_votes": 9}), own=True)
    assert (own["max_speech_s"], own["copies"]["min_votes"], own["copies"]["window"]) == (300.0, 9, 16)
    assert "source" not in own and "device" not in own and own["source_limits"] is True
    nested = validated(everything, annotate_corpus={"max_speech_s": 300, "device": "cuda"}, size="starter")
    fields = flows.chosen(annotate_corpus.STEP, nested, own=False)
    job = annotate_corpus.job(load_settings(), fields)
    assert (job.max_speech_s, job.device, job.num_gpus) == (300.0, "cuda", 1.0)
    assert "device" not in flows.chosen(train_stage.STEP, nested, own=False)
    assert flows.settings_of(train_stage.STEP, nested).size == "starter"


@pytest.mark.parametrize("step", [train_stage.STEP, train_codec.STEP], ids=lambda step: step.flow)
def test_what_is_kept_of_a_training_run_is_said_with_its_flow(step: Step) -> None:
    flow = {"train-stage": train_stage.train_stage, "train-codec": train_codec.train_codec}[step.flow]
    given = {"keep_last": 3, "keep_every": 10, "keep_best": 2}
    fields = flows.chosen(step, validated(flow, **given), own=True)
    job = step.job(load_settings(), fields)
    assert job.keeping() == Keeping(last=3, every=10, best=2)
    for name in (*given, "wandb_project"):
        assert parameters_of(step)[name].description


def test_a_run_reads_no_source_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process has other threads that read some, and Python 3.11 cannot do that in two at a time."""
    given = validated(annotate)
    monkeypatch.setattr("inspect.getsource", lambda cls: pytest.fail(f"{cls} was read"))
    assert flows.chosen(annotate_corpus.STEP, given, own=True)


def test_a_run_that_is_told_nothing_has_the_job_of_the_settings_alone() -> None:
    settings = load_settings()
    for step in (annotate_corpus.STEP, train_codec.STEP, train_stage.STEP):
        fields = flows.chosen(step, validated(everything), own=False)
        assert step.job(flows.settings_of(step, validated(everything)), fields) == step.job(settings, {})


def test_whoever_runs_a_deployment_here_tells_it_the_settings_of_his_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_STORE", "s3://bucket/mine")
    monkeypatch.setenv("UNIAUDIO_CODEC", "/codecs/mine")
    monkeypatch.setenv("UNIAUDIO_BACKBONE", "/models/llm")
    known = {flow.name: flow.parameters.properties for flow in (everything, train_codec.train_codec, annotate)}
    told = {name: told_by(load_settings(), properties) for name, properties in known.items()}
    assert {each["store"] for each in told.values()} == {"s3://bucket/mine"}
    assert told["everything"]["train_codec"] == {"start": "/codecs/mine"}
    assert told["everything"]["start"] == "/models/llm"
    assert told["train-codec"]["start"] == "/codecs/mine"
    assert "start" not in told["annotate-corpus"] and "size" not in told["annotate-corpus"]
    for flow in (everything, train_codec.train_codec, annotate):
        flow.validate_parameters(told[flow.name])


def test_a_wrong_field_of_the_last_step_is_said_before_the_first_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(flows, "make_all", lambda *arguments: made.append(arguments))
    parameters = validated(everything, start="/none/there")
    with disable_run_logger():
        state = everything.fn(**parameters)
    assert state.is_failed() and "`start` must be a folder with a text LLM" in state.message
    assert not made
