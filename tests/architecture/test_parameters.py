"""Whatever a job can be told, its flow can be told: Prefect shows every field with its default, its choices and its help."""

from importlib import import_module
from typing import Any

import pytest
from uniaudio_flows import evaluate_codec
from uniaudio_flows.everything import STEPS, everything
from uniaudio_flows.parameters import CHOICES
from uniaudio_flows.settings import DEFAULT, RUN_SETTINGS
from uniaudio_flows.steps import Step

BY_FLOW = pytest.mark.parametrize("step", [*STEPS, evaluate_codec.STEP], ids=lambda step: step.flow)


def schema_of(step: Step) -> dict[str, Any]:
    flow = getattr(import_module(f"uniaudio_flows.{step.name}"), step.name)
    schema: dict[str, Any] = flow.parameters.model_dump()
    return schema


def choices_in(schema: dict[str, Any]) -> list[str]:
    parts = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    return next((part["enum"] for part in parts if "enum" in part), [])


@BY_FLOW
def test_every_field_of_a_job_is_a_parameter_of_its_flow_or_internal_for_a_reason(step: Step) -> None:
    parameters = set(schema_of(step)["properties"])
    assert step.fields - parameters == set(step.internal)
    assert all(len(reason) > 10 for reason in step.internal.values())


@BY_FLOW
def test_every_parameter_has_a_default_and_help(step: Step) -> None:
    schema = schema_of(step)
    assert schema["required"] == []
    for name, about in schema["properties"].items():
        assert "default" in about, name
        assert about.get("description"), f"{name} has no help"
    for model in schema["definitions"].values() if "definitions" in schema else []:
        for name, about in model["properties"].items():
            assert about.get("description"), f"{model['title']}.{name} has no help"
            assert about.get("title", name) == name, "as it is written, not as a title"


@BY_FLOW
def test_a_field_with_named_values_offers_them(step: Step) -> None:
    for name, about in schema_of(step)["properties"].items():
        if name in CHOICES and about.get("type") != "object" and "$ref" not in about:
            assert [choice for choice in choices_in(about) if choice != DEFAULT] == list(CHOICES[name]), name
        if name == "size":
            assert "starter" in choices_in(about)


@BY_FLOW
def test_defaults_are_those_of_the_job(step: Step) -> None:
    defaults = step.job_class()
    for name, about in schema_of(step)["properties"].items():
        if hasattr(defaults, name) and name not in {*RUN_SETTINGS, *step.optional, "num_gpus"} and "$ref" not in about:
            default = getattr(defaults, name)
            assert about["default"] == (list(default) if isinstance(default, tuple) else default), name


def test_everything_takes_the_fields_of_every_edge() -> None:
    schema = everything.parameters.model_dump()
    assert {step.name for step in STEPS} == set(schema["properties"]) - set(RUN_SETTINGS)
    for step in STEPS:
        fields = schema["definitions"][step.name]["properties"]
        missing = step.fields - set(fields) - set(step.internal) - {"source", "models"}
        assert not missing, step.flow


def test_a_parameter_that_no_job_has_is_refused_before_anything_runs() -> None:
    from prefect.exceptions import ParameterTypeError

    with pytest.raises(ParameterTypeError, match="max_speach_s"):
        everything.validate_parameters({"annotate_corpus": {"max_speach_s": 3}})
    told = everything.validate_parameters({"annotate_corpus": {"max_speech_s": 3}})
    assert told["annotate_corpus"].max_speech_s == 3.0
