"""Frozen encoders against the released ones, from the waveform: the encoder features in `model_encode`."""

import pytest
import torch

from uniaudio.audio.mel import music_log_mel, whisper_log_mel
from uniaudio.audio.resample import resample_tensor

# Mean and standard deviation that the music encoder subtracts and divides by, in decibels.
MUSIC_MEAN, MUSIC_STD = 6.768444971712967, 18.417922652295623


# The logarithm of a quiet band is that of a rounding error of its loud neighbors, and processors round otherwise: 3e-4 on a Xeon.
MEL_TOLERANCE = 1e-3


def test_codec_front_ends_equal_the_released_ones(golden):
    io = golden.tensors("model_encode", "film_on")
    speech = resample_tensor(io["wav24k"][:, 0], 24_000, 16_000)
    golden.assert_close(speech, io["wav16k"][:, 0])
    golden.assert_close(whisper_log_mel(speech), io["whisper_mel"], MEL_TOLERANCE)
    decibels = music_log_mel(io["wav24k"][:, 0]) * MUSIC_STD + MUSIC_MEAN
    golden.assert_close(decibels, io["music_mel_db"][..., : decibels.shape[-1]], MEL_TOLERANCE)


@pytest.mark.parametrize("case", ["film_on", "film_dropped"])
def test_codec_encoder_features_equal_the_released_ones(golden, golden_encoders, golden_features, case):
    io = golden.tensors("model_encode", case)
    with torch.no_grad():
        ours = golden_encoders(io["wav24k"][:, 0])
    for feature, expected in zip(ours[:4], golden_features(io)[:4], strict=True):
        golden.assert_close(feature, expected)
