from dataclasses import replace

import pytest
import torch

from uniaudio.sequence.layout import grid_of
from uniaudio.stages.config import StageConfig
from uniaudio.training.lm.data import Batch, MixtureData, collate
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequence, tiny_vocabulary
from uniaudio.training.lm.losses import LossSums, LossWeights, count_targets, loss_sums, total_loss
from uniaudio.training.sequences.dataset import SequenceSet

EVEN = LossWeights(text=1.0, audio=1.0, streams=(1.0,) * 8)


def a_batch(*tasks: str) -> Batch:
    grids = [grid_of(tiny_sequence(task, "train", 0)) for task in tasks]
    return collate([grids], sum(len(grid.ids) for grid in grids))


def test_a_batch_without_text_or_audio_targets_has_a_finite_loss() -> None:
    model = tiny_lm()
    for task in ("text_only", "audio_only"):
        assert bool(torch.isfinite(total_loss(loss_sums(model, a_batch(task), "loss_frames"), EVEN)))
    nothing = a_batch("asr")
    nothing.loss_BS[:] = False
    assert float(total_loss(loss_sums(model, nothing, "loss_frames"), EVEN).detach()) == 0.0


def test_the_first_position_of_a_document_is_no_target() -> None:
    length = len(grid_of(tiny_sequence("text_only", "train", 0)).ids)
    assert count_targets(a_batch("text_only", "text_only", "text_only"), "loss_frames") == (3 * (length - 1), 0)


def test_packed_examples_lose_as_much_as_single_ones() -> None:
    model = tiny_lm()
    packed = loss_sums(model, a_batch("asr", "tts", "text_only"), "loss_frames")
    single = [loss_sums(model, a_batch(task), "loss_frames") for task in ("asr", "tts", "text_only")]
    torch.testing.assert_close(packed.text, sum(sums.text for sums in single), atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(packed.audio_Q, sum(sums.audio_Q for sums in single), atol=1e-3, rtol=1e-5)


def test_the_authors_normalization_counts_frames_without_loss() -> None:
    batch = a_batch("asr", "tts")
    (_, with_loss), (_, all_frames) = count_targets(batch, "loss_frames"), count_targets(batch, "all_frames")
    num_heard = len(tiny_sequence("asr", "train", 0).audio_ids)
    assert all_frames == with_loss + num_heard


def test_stage_two_weights_the_first_three_streams_twice() -> None:
    audio_Q = torch.arange(8.0)
    sums = LossSums(text=torch.tensor(0.0), num_text=0, audio_Q=audio_Q, num_audio=1)
    weights = LossWeights(text=1.0, audio=1.0, streams=(2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert float(total_loss(sums, weights)) == pytest.approx((2 * (0 + 1 + 2) + 3 + 4 + 5 + 6 + 7) / 8)


def test_micro_batches_add_up_to_the_whole(sequences: SequenceSet, stage: StageConfig) -> None:
    data = MixtureData(sequences, tiny_vocabulary(), replace(stage, condition_dropout=0.0), 0)
    batch, model = data.read(data.next_step()), tiny_lm()
    counts = count_targets(batch, "loss_frames")
    whole = total_loss(loss_sums(model, batch, "loss_frames"), EVEN)
    parts = [total_loss(loss_sums(model, batch.rows(row, row + 1), "loss_frames"), EVEN, counts) for row in range(4)]
    torch.testing.assert_close(torch.stack(parts).sum(), whole, atol=1e-5, rtol=1e-5)
