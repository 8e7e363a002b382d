"""All losses in one forward pass, whatever the rows of a rank hold."""

import numpy as np
import pytest
import torch

from tests.uniaudio.training.lm.test_distillation import a_clip
from uniaudio.sequence.layout import lay_out
from uniaudio.sequence.segments import Segment, audio_segment
from uniaudio.testing import tiny_codec
from uniaudio.training.lm.data import collate
from uniaudio.training.lm.distillation import CodecTeacher, Distillation
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary
from uniaudio.training.lm.freezing import freeze_all_but
from uniaudio.training.lm.losses import LossModel, loss_sums


@pytest.fixture(scope="module")
def teacher() -> CodecTeacher:
    return CodecTeacher(tiny_codec(), tiny_vocabulary())


def test_one_forward_pass_gives_all_losses_and_touches_the_decoder(teacher: CodecTeacher) -> None:
    """So that a rank whose rows hold no frame has a gradient for the decoder too."""
    model, (batch, _, _) = tiny_lm(), a_clip()
    guest = Distillation(model, teacher, 1.0, seed=0)
    sums = loss_sums(model, batch, "loss_frames")
    text, audio_Q, distance = LossModel(model, guest)(batch)
    assert torch.equal(text, sums.text)
    assert torch.equal(audio_Q, sums.audio_Q)
    loss_sums(model, batch, "loss_frames")
    assert torch.equal(distance, guest.loss_sum(batch))
    silent = collate(
        [[lay_out([audio_segment("reasoning", np.zeros((0, 8), np.int64), tiny_vocabulary(), loss=False)])]], 8
    )
    text, audio_Q, distance = LossModel(model, guest)(silent, has_audio=True)
    (text + audio_Q.sum() + distance).backward()
    assert float(text.detach() + audio_Q.detach().sum() + distance.detach()) == 0.0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_a_pass_without_audio_has_a_gradient_where_only_what_hears_learns() -> None:
    """Sharded gradients of several passes are summed over ranks in the backward pass of the last."""
    model = tiny_lm()
    freeze_all_but(model, ("understanding_expert",))
    text = collate([[lay_out([Segment(np.arange(3), loss=True)])]], 4)
    loss, audio_Q, _ = LossModel(model)(text)
    (loss + 0.0 * audio_Q.sum()).backward()
    gradient = model.understanding_expert.stack.norm.weight.grad
    assert gradient is not None
    assert not gradient.any()
