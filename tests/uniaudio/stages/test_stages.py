"""What each stage trains, and that it is the paper's."""

from dataclasses import replace

import pytest
import torch
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from tests.uniaudio.training.lm.pairs import tiny_pairs
from uniaudio.lm.model import UniAudioLM
from uniaudio.stages.config import ALL_MODULES, StageConfig
from uniaudio.stages.sizes import LENGTHS
from uniaudio.stages.stage2_generation import stage2_generation
from uniaudio.stages.stage3_pretraining import stage3_pretraining
from uniaudio.stages.stage4_sentences import stage4_sentences
from uniaudio.stages.table import ALL_STAGES, STAGES, stage_before, stage_config
from uniaudio.tasks.table import TASKS
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.freezing import freeze_all_but
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet

TRAINED = {
    "text_warmup": {"text_embedding", "backbone", "text_head"},
    "stage1": {"audio_embedding", "understanding_expert"},
    "stage2": {"generation_expert", "projection", "local_decoder", "audio_head"},
    "stage3": set(ALL_MODULES),
    "stage4": set(ALL_MODULES),
    "stage5": set(ALL_MODULES),
    "stage6": set(ALL_MODULES),
}


def short(stage: StageConfig, num_steps: int) -> StageConfig:
    return replace(stage, num_steps=num_steps, context=128, num_rows=2, num_threads=1)


@pytest.fixture(scope="module")
def sequences() -> SequenceSet:
    return SequenceSet.of([to_table([*tiny_sequences(), *tiny_pairs()], Sequence)], "content")


def all_tensors(model: UniAudioLM) -> dict[str, torch.Tensor]:
    """Parameters and buffers, those that are never saved included."""
    return {name: tensor.detach().clone() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


@pytest.mark.parametrize("name", ALL_STAGES)
def test_exactly_the_named_modules_move(name: str, sequences: SequenceSet) -> None:
    """Without weight decay, which moves what learns nothing: each named parameter has a gradient of its own."""
    stage, model = replace(short(stage_config(name), 2), weight_decay=0.0), tiny_lm()
    before = all_tensors(model)
    train_stage(model, stage, MixtureData(sequences, tiny_vocabulary(), stage, 0))
    after = all_tensors(model)
    assert after.keys() == before.keys()
    moved = {key for key, tensor in after.items() if not torch.equal(before[key], tensor)}
    assert moved == {key for key, _ in model.named_parameters() if key.split(".")[0] in TRAINED[name]}


@pytest.mark.parametrize("name", ALL_STAGES)
def test_what_a_stage_does_not_train_has_neither_gradient_nor_train_mode(name: str) -> None:
    model = tiny_lm()
    named = freeze_all_but(model, stage_config(name).trains)
    assert set(named) == {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert {key for key, child in model.named_children() if child.training} == TRAINED[name]


@pytest.mark.parametrize("name", [name for name in ALL_STAGES if name != "stage6"])
def test_each_stage_lowers_its_held_out_loss(name: str, sequences: SequenceSet) -> None:
    stage, model = short(stage_config(name), 15), tiny_lm()
    result = train_stage(model, replace(stage, learning_rate=1e-2), MixtureData(sequences, tiny_vocabulary(), stage, 0))
    assert result.held_out
    for losses in result.held_out.values():
        assert losses.after < losses.before


def test_stage_two_weights_streams_as_the_paper_does() -> None:
    weights = stage2_generation().stream_weights
    assert [weight / len(weights) for weight in weights] == [2 / 8] * 3 + [1 / 8] * 5


def test_joint_stages_protect_text_with_1_6() -> None:
    assert [stage_config(name).text_weight for name in ALL_STAGES] == [1.0, 1.0, 1.0, 1.6, 1.6, 1.6, 1.0]


@pytest.mark.parametrize("size", LENGTHS)
def test_stage_four_has_twice_the_context(size: str) -> None:
    assert stage4_sentences(size).context == 2 * stage3_pretraining(size).context


@pytest.mark.parametrize(
    ("name", "steps"), [("stage1", 50_000), ("stage2", 50_000), ("stage3", 500_000), ("stage4", 300_000)]
)
def test_paper_sizes_have_the_papers_lengths(name: str, steps: int) -> None:
    assert stage_config(name, "paper_3b").num_steps == steps
    assert stage_config(name, "paper_3b").context == (2048 if name == "stage4" else 1024)


def test_only_stage_four_draws_auditory_sentences() -> None:
    drawn = [name for name in STAGES if stage_config(name).mixture[0].weight_of("auditory_sentences") > 0]
    assert drawn == ["stage4"]


def test_each_stage_starts_from_the_one_before() -> None:
    assert [stage_before(name) for name in ALL_STAGES] == [None, *list(ALL_STAGES)[:-1]]
    assert stage_before("stage5") == "stage4"
    assert stage_before("stage6") == "stage5"


def test_the_warm_up_stages_draw_tasks_that_exist() -> None:
    groups = {
        group for name in ("text_warmup", "stage1", "stage2") for group, _ in stage_config(name).mixture[0].weights
    }
    assert groups <= set(TASKS)


def test_no_small_stage_distils_unless_asked() -> None:
    assert {stage_config(name, size).distillation_weight for name in ALL_STAGES for size in ("debug", "starter")} == {
        0.0
    }


@pytest.mark.parametrize(
    "call", [lambda: stage_config("stage9"), lambda: stage_config("stage1", "huge"), lambda: stage_before("sft")]
)
def test_unknown_names_are_refused(call) -> None:
    with pytest.raises(UsageError, match="must be one of"):
        call()


def test_a_pretrained_backbone_learns_at_the_authors_rate_and_the_stages_of_small_sizes_all_alike() -> None:
    """At three times that rate SmolLM2 loses its text (`tests/bench/test_lm_text_kept.py`)."""
    for size in ("paper_1b", "paper_3b"):
        assert stage3_pretraining(size).learning_rate == 2e-4
        assert stage4_sentences(size).learning_rate == 5e-5
    assert {stage_config(name, "starter").learning_rate for name in STAGES} == {1e-3, 1e-3 / 4}
    assert {stage_config(name, "debug").learning_rate for name in STAGES} == {2e-3, 2e-3 / 4}


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": float("nan")},
        {"text_weight": -1.0},
        {"audio_weight": float("inf")},
        {"stream_weights": (1.0,) * 7 + (float("nan"),)},
        {"condition_dropout": 1.1},
    ],
)
def test_numbers_that_would_train_nothing_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(change))}` must"):
        replace(stage_config("stage3"), **change)
