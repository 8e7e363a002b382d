"""Masked prediction: what is hidden, and that nobody can peek."""

import numpy as np
import torch

from uniaudio.stages.codec_encoders import encoders
from uniaudio.training.codec.clips import ClipSet, Crop
from uniaudio.training.codec.encoders import HIDDEN_SHARE, EncodersObjective, Hidden, RandomQuantizer, _spans


def test_spans_hide_about_the_share_that_is_asked_for_and_never_nothing() -> None:
    hidden = _spans(np.random.default_rng(0), 200, 500, 20)
    assert abs(hidden.mean() - HIDDEN_SHARE) < 0.03
    assert _spans(np.random.default_rng(0), 50, 10, 20).any(axis=1).all()


def test_classes_of_a_corpus_are_many_and_always_the_same() -> None:
    frames = torch.randn(4000, 40, generator=torch.Generator().manual_seed(0)) * 3 + 7
    quantizer = RandomQuantizer(40, 64, seed=3)
    quantizer.measure(frames)
    classes = quantizer(frames[None])[0]
    share = torch.bincount(classes, minlength=64) / len(classes)
    perplexity = float((-(share * share.clamp(min=1e-9).log()).sum()).exp())
    assert perplexity > 40
    again = RandomQuantizer(40, 64, seed=3)
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again(frames[None])[0], classes)


def test_what_stands_in_hidden_music_frames_does_not_reach_the_encoder(new_codec, short, train_clips) -> None:
    phase, codec = short(encoders(), 2), new_codec()
    clips = ClipSet(codec, train_clips[:3])
    objective = EncodersObjective(codec, phase, clips, clips)
    seen = []
    codec.encoders.music.model.front_end.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    hidden = torch.zeros(1, 10, dtype=torch.bool)
    hidden[0, 2:5] = True
    noise = torch.zeros(1, 128, 40)
    with torch.no_grad():
        objective._losses(clips, [Crop(0, 0, 1)], Hidden(hidden.repeat_interleave(2, dim=1), hidden, noise))
    assert (seen[0][0, 0, :, 8:20] == 0).all()
    assert (seen[0][0, 0, :, :8] != 0).any() and (seen[0][0, 0, :, 20:] != 0).any()
