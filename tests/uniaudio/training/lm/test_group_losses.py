"""Losses of a step are told by mixture group: what each of its examples has alone."""

from collections import defaultdict
from dataclasses import replace

import pytest
import torch

from uniaudio.sequence.layout import lay_out
from uniaudio.stages.config import StageConfig
from uniaudio.training.lm import losses
from uniaudio.training.lm.data import Batch, MixtureData, collate
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary
from uniaudio.training.lm.losses import LossModel, loss_sums
from uniaudio.training.lm.objective import GROUP_LOSS
from uniaudio.training.lm.train import train_stage
from uniaudio.training.run import Listeners, Progress
from uniaudio.training.sequences.dataset import SequenceSet


def told_of_a_step(sequences: SequenceSet, stage: StageConfig) -> tuple[Progress, MixtureData]:
    seen: list[Progress] = []
    data = MixtureData(sequences, tiny_vocabulary(), stage, 0)
    train_stage(tiny_lm(), stage, data, listeners=Listeners(on_progress=seen.append))
    return seen[0], MixtureData(sequences, tiny_vocabulary(), stage, 0)


def losses_alone(data: MixtureData, *, with_audio: bool) -> dict[str, float]:
    """Nats a token of each group of the first step, one example after the other."""
    model, totals, counts = tiny_lm(), defaultdict[str, float](float), defaultdict[str, int](int)
    for row in data.next_step().rows:
        for draw, document in zip(row, data._documents(list(row)), strict=True):
            grid = lay_out(document.segments())
            sums = loss_sums(model, collate([[grid]], len(grid.ids)), "loss_frames", with_audio=with_audio)
            totals[draw.group] += float(sums.text.detach() + sums.audio_Q.detach().sum())
            counts[draw.group] += sums.num_text + (8 * sums.num_audio if with_audio else 0)
    return {group: total / counts[group] for group, total in totals.items() if counts[group]}


@pytest.mark.parametrize("fields", [{}, {"micro_rows": 1}, {"audio_weight": 0.0}], ids=["whole", "micro", "text alone"])
def test_each_group_has_the_loss_of_its_examples(
    sequences: SequenceSet, stage: StageConfig, fields: dict[str, float]
) -> None:
    stage = replace(stage, num_steps=1, condition_dropout=0.0, **fields)
    progress, data = told_of_a_step(sequences, stage)
    told = {name.removeprefix(GROUP_LOSS): one for name, one in progress.gauges.items() if name.startswith(GROUP_LOSS)}
    alone = losses_alone(data, with_audio=stage.audio_weight > 0)
    assert len(alone) > 2
    assert told == pytest.approx(alone, rel=1e-5)
    assert GROUP_LOSS not in "".join(progress.values), "what differs from run to run alone is no point"


def test_telling_by_group_moves_no_bit_of_a_gradient(
    sequences: SequenceSet, stage: StageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = MixtureData(sequences, tiny_vocabulary(), stage, 0)
    batch = data.read(data.next_step())
    silent = replace(batch, groups_BS=None, num_groups=0)

    def gradients(batch: Batch) -> list[torch.Tensor]:
        model = tiny_lm()
        text, audio_Q, _ = LossModel(model)(batch)
        (text + audio_Q.sum()).backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    for max_logits in (losses.MAX_LOGITS, 7 * 300):
        monkeypatch.setattr(losses, "MAX_LOGITS", max_logits)
        told, plain = gradients(batch), gradients(silent)
        assert all(map(torch.equal, told, plain)) and len(told) == len(plain)
