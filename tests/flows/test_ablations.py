"""`ablate-model`: what of the whole model's jobs each variant changes, and behind which refs it lies."""

from typing import Any

import pytest
from uniaudio_flows import ablate_model
from uniaudio_flows.flow import Planned, plan
from uniaudio_flows.settings import load_settings
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences

from uniaudio.stages.table import STAGES


@pytest.fixture
def whole() -> list[Planned]:
    settings = load_settings()
    return [plan(step, settings, {}) for step in [*ablate_model.ALONE.ancestors(), ablate_model.ALONE]]


def jobs_of(name: str, whole: list[Planned]) -> dict[type, Any]:
    return {type(planned.job): planned.job for planned in ablate_model.variant_of(name, whole)}


@pytest.mark.parametrize("name", ablate_model.VARIANTS)
def test_a_variant_is_scored_like_the_whole_model_and_lies_behind_refs_of_its_own(
    name: str, whole: list[Planned]
) -> None:
    jobs = jobs_of(name, whole)
    scores, train = jobs[CheckpointToScores], jobs[SequencesToCheckpoint]
    assert (train.ref, scores.checkpoint, scores.ref) == (name, name, name)
    assert train.stage_ref("stage3") == f"{name}-stage3"
    of_whole = whole[-1].job
    assert (scores.shots, scores.benchmarks, scores.seed) == (of_whole.shots, of_whole.benchmarks, of_whole.seed)
    again = [planned.step.kind for planned in ablate_model.variant_of(name, whole)]
    assert again == [*(["sequences"] if name == "without_reasoning" else []), "checkpoint", "scores"]


def test_each_variant_differs_by_its_own_field_alone(whole: list[Planned]) -> None:
    assert jobs_of("without_stage4", whole)[SequencesToCheckpoint].stages == tuple(STAGES)[:-1]
    without_experts = jobs_of("without_experts", whole)[SequencesToCheckpoint]
    assert not without_experts.experts and without_experts.stages == tuple(STAGES)
    jobs = jobs_of("without_reasoning", whole)
    assert not jobs[TokensToSequences].reasoning and jobs[TokensToSequences].ref == "without_reasoning"
    train = jobs[SequencesToCheckpoint]
    assert train.sequences == "without_reasoning" and train.experts and train.stages == tuple(STAGES)


def test_the_flow_offers_the_variants_and_the_fields_of_every_step() -> None:
    schema = ablate_model.ablate_model.parameters.model_dump()
    assert set(ablate_model.VARIANTS) == set(schema["properties"]["variants"]["items"]["enum"])
    assert {"shots", "train_stage", "build_sequences", "size"} <= set(schema["properties"])
