"""The guest of stage 1: what it asks for, that it teaches the expert, and that it leaves no trace but what was learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from tests.uniaudio.training.lm.test_loop import assert_same_bits, keep_in
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.sequence.layout import lay_out
from uniaudio.sequence.segments import audio_segment
from uniaudio.stages.config import StageConfig
from uniaudio.stages.stage1_understanding import stage1_understanding
from uniaudio.stages.stage2_generation import stage2_generation
from uniaudio.testing import tiny_codec
from uniaudio.training.lm.data import Batch, MixtureData, collate
from uniaudio.training.lm.distillation import DECODER, CodecTeacher, Distillation
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary
from uniaudio.training.lm.freezing import freeze_all_but
from uniaudio.training.lm.losses import loss_sums
from uniaudio.training.lm.train import StageResult, train_stage
from uniaudio.training.sequences.dataset import SequenceSet


@pytest.fixture(scope="module")
def codec() -> ReasoningCodec:
    return tiny_codec()


@pytest.fixture(scope="module")
def teacher(codec: ReasoningCodec) -> CodecTeacher:
    return CodecTeacher(codec, tiny_vocabulary())


@pytest.fixture
def distilling() -> StageConfig:
    return replace(
        stage1_understanding(), distillation_weight=1.0, num_steps=4, context=96, num_rows=4, micro_rows=2,
        num_threads=1, checkpoint_every=2, log_every=1, weight_decay=0.0,
    )  # fmt: skip


def train(
    sequences: SequenceSet, stage: StageConfig, teacher: CodecTeacher | None, **options
) -> tuple[StageResult, dict[str, Tensor]]:
    model = tiny_lm()
    result = train_stage(model, stage, MixtureData(sequences, tiny_vocabulary(), stage, 0), teacher=teacher, **options)
    return result, model.state_dict()


def a_clip() -> tuple[Batch, np.ndarray, np.ndarray]:
    """One row with 3 reasoning and 5 reconstruction frames between their special ones, and the codes."""
    draw, vocabulary = np.random.default_rng(0), tiny_vocabulary()
    reasoning, reconstruction = draw.integers(0, 64, (3, 8)), draw.integers(0, 128, (5, 8))
    segments = [
        audio_segment("reasoning", reasoning, vocabulary, loss=False),
        audio_segment("reconstruction", reconstruction, vocabulary, loss=True),
    ]
    return collate([[lay_out(segments)]], 16), reasoning, reconstruction


def test_targets_are_the_vectors_of_reasoning_phone_and_music_codes(
    codec: ReasoningCodec, teacher: CodecTeacher
) -> None:
    batch, reasoning, reconstruction = a_clip()
    kinds = teacher.kinds(batch.ids_BS9, batch.is_audio_BS)[0].tolist()
    assert kinds == [0, 1, 1, 1, 0, 0, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0]
    groups, codes = codec.reconstruction.quantizers, torch.from_numpy(reconstruction)
    expected = {
        1: codec.reasoning.quantizer.decode(torch.from_numpy(reasoning)),
        2: groups["phone"].decode(codes[:, :1]) + groups["music"].decode(codes[:, 1:2]),
    }
    for kind, vectors in expected.items():
        frames = torch.tensor(kinds) == kind
        found = teacher.vectors(batch.ids_BS9[0, frames, :-1], kind)
        torch.testing.assert_close(found.square().mean(dim=-1), torch.ones(len(found)))
        assert torch.cosine_similarity(found, vectors, dim=-1).min() > 1 - 1e-5


def test_a_decoder_that_says_nothing_has_a_loss_of_one_a_frame(teacher: CodecTeacher) -> None:
    model, (batch, _, _) = tiny_lm(), a_clip()
    guest = Distillation(model, teacher, 1.0, seed=0)
    torch.nn.init.zeros_(model.get_parameter(f"{DECODER}.convolution_out.weight"))
    loss_sums(model, batch, "loss_frames")
    assert guest.count(batch) == 8
    assert guest.loss_sum(batch).item() == pytest.approx(8.0, rel=1e-5)


def test_what_another_clip_says_does_not_reach_a_clips_frames(teacher: CodecTeacher) -> None:
    """The convolutions stop at the border of a document, even between two codes of one kind."""
    model, (batch, _, _) = tiny_lm(), a_clip()
    guest = Distillation(model, teacher, 1.0, seed=0)

    def loss_of(positions: list[int], documents: list[int]) -> float:
        names = ("ids_BS9", "is_audio_BS", "is_text_BS", "loss_BS")
        cut = Batch(
            **{name: getattr(batch, name)[:, positions] for name in names}, document_ids_BS=torch.tensor([documents])
        )
        loss_sums(model, cut, "loss_frames")
        return guest.loss_sum(cut).item()

    alone = loss_of([1, 2, 3, 4], [0, 0, 0, 0])
    assert loss_of([1, 2, 3, 1, 2, 3, 4], [0, 0, 0, 1, 1, 1, 1]) == pytest.approx(2 * alone, rel=1e-4)


def test_the_loss_falls_and_nothing_of_the_decoder_stays(
    sequences: SequenceSet, distilling: StageConfig, teacher: CodecTeacher
) -> None:
    result, weights = train(sequences, replace(distilling, num_steps=12, learning_rate=1e-2), teacher)
    losses = [point.value for point in result.state.points if point.name == "distillation_loss"]
    assert losses[-1] < 0.9 * losses[0]
    before = tiny_lm().state_dict()
    moved = {name for name in before if not torch.equal(before[name], weights[name])}
    assert weights.keys() == before.keys()
    assert moved == {name for name in before if name.split(".")[0] in distilling.trains}


def test_the_expert_learns_from_it_where_the_language_model_loss_is_silent(
    sequences: SequenceSet, distilling: StageConfig, teacher: CodecTeacher
) -> None:
    audio = replace(distilling, mixture=(replace(distilling.mixture[0], weights=(("audio_only", 1.0),)),))
    before = tiny_lm().state_dict()
    for weight, moves in ((0.0, False), (1.0, True)):
        _, weights = train(sequences, replace(audio, distillation_weight=weight), teacher)
        for name in ("audio_embedding.weight", "understanding_expert.stack.layers.0.mlp.up.weight"):
            assert torch.equal(weights[name], before[name]) is not moves


def test_a_resumed_run_ends_at_the_same_bits_decoder_included(
    sequences: SequenceSet, distilling: StageConfig, teacher: CodecTeacher, tmp_path: Path
) -> None:
    result, weights = train(sequences, distilling, teacher, listeners=keep_in(tmp_path))
    resumed, again = train(sequences, distilling, teacher, resume_from=tmp_path / "2")
    assert_same_bits(weights, again)
    assert resumed == result


def test_gradient_is_that_of_the_mean_over_the_frames_of_the_step(
    sequences: SequenceSet, distilling: StageConfig, teacher: CodecTeacher
) -> None:
    """However the step is cut; of a mixture without text targets, so that nothing else has a gradient."""
    mixture = (replace(distilling.mixture[0], weights=(("audio_only", 1.0),)),)
    stage = replace(distilling, mixture=mixture, num_steps=1)
    model, data = tiny_lm(), MixtureData(sequences, tiny_vocabulary(), stage, 0)
    guest = Distillation(model, teacher, 1.0, int.from_bytes(data.order.key[:4], "big"))
    learning = freeze_all_but(model, (*stage.trains, DECODER))
    batch = data.read(data.next_step())
    loss_sums(model, batch, "loss_frames", with_audio=False)
    loss = guest.loss_sum(batch) / guest.count(batch)
    loss.backward()
    norm = torch.stack([parameter.grad.norm() for parameter in learning.values() if parameter.grad is not None]).norm()
    for micro_rows in (1, 4):
        result, _ = train(sequences, replace(stage, micro_rows=micro_rows), teacher)
        found = {point.name: point.value for point in result.state.points}
        assert found["distillation_loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert found["gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)


def test_without_a_teacher_or_an_expert_that_learns_it_is_refused(
    sequences: SequenceSet, distilling: StageConfig
) -> None:
    with pytest.raises(UsageError, match="`teacher` must be given"):
        train(sequences, distilling, None)
    for stage, weight in ((stage2_generation(), 0.5), (distilling, -1.0)):
        with pytest.raises(UsageError, match="`distillation_weight` must be 0 or more"):
            replace(stage, distillation_weight=weight)
