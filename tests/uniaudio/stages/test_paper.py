"""The stages of `paper_1b` and `paper_3b` are those of the paper, and each can be trained: at full size without values, at a
small one with them.
"""

from dataclasses import fields, replace

import pytest
import torch
from torch.optim import AdamW
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.lm.config import PRESETS, LMConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.config import StageConfig
from uniaudio.stages.paper import CHOICES, PAPER
from uniaudio.stages.table import STAGES, stage_config
from uniaudio.testing import tiny_codec
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.distillation import DECODER, CodecTeacher, Distillation
from uniaudio.training.lm.doubles import tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.losses import LossSums, LossWeights, audio_loss_sums, text_loss_sum, total_loss
from uniaudio.training.lm.train import train_stage
from uniaudio.training.plan.memory import Pass, memory_of
from uniaudio.training.plan.work import config_of
from uniaudio.training.sequences.dataset import SequenceSet

SIZES = ("paper_1b", "paper_3b")
ROWS = 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAPER)
def test_a_stage_is_what_the_paper_says(name: str, size: str) -> None:
    stage, paper = stage_config(name, size), PAPER[name]
    assert (stage.num_steps, stage.context) == (paper.num_steps, paper.context)
    assert (stage.text_weight, stage.audio_weight) == (paper.text_weight, paper.audio_weight)
    assert set(stage.trains) == set(paper.trains)
    assert (stage.distillation_weight > 0) is paper.distils
    shares = [weight / len(stage.stream_weights) for weight in stage.stream_weights]
    assert shares == list(paper.stream_shares or (1 / 8,) * 8)
    assert stage.num_steps * stage.num_rows * stage.context == pytest.approx(paper.num_tokens, rel=0.1)


def test_stages_one_to_four_follow_a_warm_up_that_is_not_the_papers() -> None:
    assert list(STAGES) == ["text_warmup", *PAPER]


def test_the_papers_layers_are_3_28_2_and_4() -> None:
    config = config_of("paper_3b")
    layers = [config.num_understanding_layers, config.backbone.num_layers, config.num_generation_layers]
    assert [*layers, config.local_decoder.num_layers] == [3, 28, 2, 4]


def test_only_stage_four_draws_auditory_sentences_and_only_joint_stages_draw_text() -> None:
    drawn = {name: stage_config(name, "paper_3b").mixture[0] for name in PAPER}
    assert [name for name in drawn if drawn[name].weight_of("auditory_sentences")] == ["stage4"]
    assert [name for name in drawn if drawn[name].weight_of("text_only")] == ["stage3", "stage4"]


def test_every_choice_is_of_a_field_and_has_a_reason() -> None:
    assert CHOICES.keys() <= {field.name for field in fields(StageConfig)}
    assert all(len(reason) > 20 for reason in CHOICES.values())


def losses_without_values(model: UniAudioLM, stage: StageConfig, ids_BS9: torch.Tensor) -> torch.Tensor:
    """The loss of rows that are half frames, half text, with every second position a target; on the meta device nothing can be
    chosen by value, so positions are cut out."""
    half = stage.context // 2
    is_audio_BS = torch.zeros(ids_BS9.shape[:2], dtype=torch.bool, device="meta")
    hidden_BSD = model(ids_BS9, is_audio_BS, is_audio_BS)
    text = text_loss_sum(model.text_logits(hidden_BSD[:, :half].flatten(0, 1)), ids_BS9[:, :half, 8].flatten())
    audio_Q = torch.zeros(8, device="meta")
    if stage.audio_weight:
        codes_NQ = ids_BS9[:, half:, :8].flatten(0, 1)
        logits_NQV = model.audio_logits(hidden_BSD[:, half:].flatten(0, 1), codes_NQ)
        audio_Q = audio_loss_sums(logits_NQV, codes_NQ)
    count = ROWS * half
    weights = LossWeights(text=stage.text_weight, audio=stage.audio_weight, streams=stage.stream_weights)
    return total_loss(LossSums(text=text, num_text=count, audio_Q=audio_Q, num_audio=count), weights)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAPER)
def test_one_step_at_full_size_on_the_meta_device(name: str, size: str) -> None:
    """Every shape fits, the stage's modules alone have gradients, and the optimizer is as large as planned."""
    stage, config = stage_config(name, size), config_of(size)
    with torch.device("meta"):
        model = UniAudioLM(config)
        ids_BS9 = torch.zeros(ROWS, stage.context, 9, dtype=torch.int64)
    model.set_recomputation(stage.recompute)
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key.split(".")[0] in stage.trains)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(learned, lr=stage.learning_rate, betas=stage.betas, weight_decay=stage.weight_decay)
    losses_without_values(model, stage, ids_BS9).backward()
    optimizer.step()
    with_gradient = {key.split(".")[0] for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == set(PAPER[name].trains)
    planned = memory_of(config, stage.trains, Pass(positions=1, text_targets=1, audio_targets=0, precision="float32"))
    moments = [tensor for state in optimizer.state.values() for tensor in state.values() if tensor.ndim]
    assert sum(tensor.numel() * 4 for tensor in moments) == planned.optimizer
    assert sum(parameter.numel() * 4 for parameter in learned) == planned.gradients


def reduced(size: str, vocabulary: Vocabulary) -> LMConfig:
    """A paper's model with two layers a stack, small widths, and its own ratios of heads."""

    def of(stack: StackConfig) -> StackConfig:
        group = stack.num_heads // stack.num_kv_heads
        return replace(stack, num_layers=2, width=48, num_heads=2 * group, num_kv_heads=2, head_size=8, mlp_width=96)

    preset = {**PRESETS[size], "num_understanding_layers": 2, "num_generation_layers": 2}
    preset = {name: of(value) if isinstance(value, StackConfig) else value for name, value in preset.items()}
    return LMConfig(
        text_size=vocabulary.text_size,
        audio_size=vocabulary.audio_size,
        num_codebooks=vocabulary.num_codebooks,
        vocabulary_fingerprint=vocabulary.fingerprint,
        **preset,
    )


@pytest.fixture(scope="module")
def sequences() -> SequenceSet:
    return SequenceSet.of([to_table(tiny_sequences(), Sequence)], "content")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAPER)
def test_one_real_step_at_reduced_depth(name: str, size: str, sequences: SequenceSet) -> None:
    """In the stage's own precision, recomputation and losses, the distillation of stage 1 included."""
    stage = replace(stage_config(name, size), num_steps=1, context=128, num_rows=2, num_threads=1, num_held_out=1)
    vocabulary = tiny_vocabulary()
    model = UniAudioLM(reduced(size, vocabulary))
    before = {key: tensor.detach().clone() for key, tensor in model.named_parameters()}
    teacher = CodecTeacher(tiny_codec(), vocabulary) if stage.distillation_weight else None
    result = train_stage(model, stage, MixtureData(sequences, vocabulary, stage, 0), teacher=teacher)
    assert result.state.num_skipped == 0
    names = {point.name for point in result.state.points}
    assert ("distillation_loss" in names) is PAPER[name].distils
    assert ("audio_loss" in names) is (name != "stage1")
    moved = {key.split(".")[0] for key, tensor in model.named_parameters() if not torch.equal(before[key], tensor)}
    assert moved == set(PAPER[name].trains)
    assert DECODER not in dict(model.named_children())


def test_the_distillation_decoder_reads_the_papers_width() -> None:
    model = UniAudioLM(replace(reduced("paper_3b", tiny_vocabulary())))
    guest = Distillation(model, CodecTeacher(tiny_codec(), tiny_vocabulary()), 1.0, seed=0)
    assert next(guest.decoder.parameters()).shape[1] == model.config.width
