import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.sequence.layout import lay_out
from uniaudio.sequence.segments import audio_segment, text_segment
from uniaudio.sequence.targets import Targets, targets_of, with_targets_alone
from uniaudio.stages.config import StageConfig
from uniaudio.testing import tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer
from uniaudio.training.lm import chance as chance_module
from uniaudio.training.lm.chance import UNIFORM, UNIGRAM, Unigram, trained_targets
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_sequence, tiny_vocabulary
from uniaudio.training.lm.losses import audio_losses, legal_logits
from uniaudio.training.lm.metrics import held_out_losses, mean_loss
from uniaudio.training.lm.train import train_stage
from uniaudio.training.run import Listeners, Progress
from uniaudio.training.sequences.dataset import SequenceSet

VOCABULARY = tiny_vocabulary()


def an_example() -> list:
    codes = np.arange(24).reshape(3, 8)
    return [
        text_segment("say", "", ByteTokenizer(), loss=False),
        text_segment("hi", "caption", ByteTokenizer(), loss=True),
        audio_segment("reasoning", codes % 64, VOCABULARY, loss=True),
        audio_segment("reconstruction", codes, VOCABULARY, loss=True),
    ]


def test_targets_are_text_and_codes_with_loss_and_no_special_id() -> None:
    grid = lay_out(an_example())
    targets = targets_of(grid, VOCABULARY)
    assert bytes(targets.text_N.tolist()) == b"hi"
    assert {kind: codes.tolist() for kind, codes in targets.codes.items()} == {
        "reasoning": np.arange(24).reshape(3, 8).tolist(),
        "reconstruction": np.arange(24).reshape(3, 8).tolist(),
    }
    rated = with_targets_alone(grid, VOCABULARY)
    assert int(rated.loss.sum()) == 2 + 3 + 3
    at = np.concatenate([targets.text_at, *targets.codes_at.values()]) + 1
    assert np.array_equal(np.flatnonzero(rated.loss), at)


def test_a_unigram_is_how_often_an_id_occurs_and_none_is_impossible() -> None:
    unigram = Unigram(VOCABULARY)
    counted = Targets(np.array([97, 97, 97, 98]), np.arange(4), {}, {})
    unigram.count([counted])
    text_N, codes = unigram.losses(Targets(np.arange(269), np.arange(269), {}, {}))
    assert codes == {}
    assert np.exp(-text_N).sum() == pytest.approx(1.0)
    assert math.exp(-text_N[97]) == pytest.approx((3 + 2 / 269) / 6)
    assert math.exp(-text_N[99]) == pytest.approx(2 / 269 / 6)


def test_each_stream_has_counts_of_its_own() -> None:
    codes = np.tile(np.arange(8), (50, 1))
    targets = Targets(np.zeros(0, np.int64), np.zeros(0, np.int64), {"reasoning": codes}, {"reasoning": np.arange(50)})
    unigram = Unigram(VOCABULARY)
    unigram.count([targets])
    found = unigram.chance([targets])
    assert found is not None
    assert found.uniform == pytest.approx(math.log(64))
    assert found.unigram < 0.05
    assert unigram.chance([]) is None


def test_a_sample_of_training_examples_is_counted_and_ranks_share_it(
    sequences: SequenceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance_module, "MOST_COUNTED", 5)
    whole = [*trained_targets(sequences, VOCABULARY, "tts")]
    shares = [[*trained_targets(sequences, VOCABULARY, "tts", slice(rank, None, 2))] for rank in range(2)]
    assert len(whole) == 5
    assert [len(share) for share in shares] == [3, 2]
    alone, together = Unigram(VOCABULARY), Unigram(VOCABULARY)
    alone.count(whole)
    for share in shares:
        together.count(share)
    assert alone.chance(whole) == together.chance(whole)


def test_codes_are_rated_over_the_legal_ones() -> None:
    logits_NQV = torch.randn(2, 8, VOCABULARY.audio_size, generator=torch.Generator().manual_seed(0))
    codes_NQ = torch.stack([torch.arange(8), torch.arange(8) + VOCABULARY.reconstruction_offset])
    ranges = (range(64), range(68, 68 + 128))
    found_QN = audio_losses(legal_logits(logits_NQV, codes_NQ, ranges), codes_NQ)
    for number, ids in enumerate(ranges):
        logits_QV = logits_NQV[number, :, ids.start : ids.stop]
        expected_Q = torch.nn.functional.cross_entropy(logits_QV, codes_NQ[number] - ids.start, reduction="none")
        assert torch.allclose(found_QN[:, number], expected_Q)
    assert torch.equal(legal_logits(logits_NQV, codes_NQ, ()), logits_NQV)


def data_of(stage: StageConfig, *rows: Sequence) -> MixtureData:
    return MixtureData(SequenceSet.of([to_table(rows, Sequence)], "content"), VOCABULARY, stage, 0)


def test_a_model_that_knows_nothing_is_as_good_as_uniform(stage: StageConfig) -> None:
    data = data_of(stage, tiny_sequence("tts", "train", 0), tiny_sequence("tts", "val", 0))
    model = tiny_lm()
    for parameter in model.audio_head.parameters():
        torch.nn.init.zeros_(parameter)
    losses = held_out_losses(model, data.held_out(), "cpu")
    assert mean_loss(losses["tts"]) == pytest.approx(math.log(64), abs=1e-5)


def test_a_stage_says_what_chance_gives_on_each_task(sequences: SequenceSet, stage: StageConfig) -> None:
    told: list[Progress] = []
    data = MixtureData(sequences, VOCABULARY, replace(stage, num_steps=1), 0)
    result = train_stage(tiny_lm(), data.stage, data, listeners=Listeners(on_progress=told.append))
    for task, loss in result.held_out.items():
        assert told[-1].gauges[f"{UNIFORM}{task}"] == loss.uniform
        assert told[-1].gauges[f"{UNIGRAM}{task}"] == loss.unigram
        # Words of a few syllables have a handful of letters.
        assert loss.unigram < 3 < loss.uniform
    assert result.held_out["tts"].uniform == pytest.approx(math.log(64))
    assert result.held_out["asr"].uniform == pytest.approx(math.log(269))
