"""Arithmetic of the compat windows: how often a clip is looped, how many tokens it gets, where windows start."""

import pytest
import torch

from uniaudio.codec.released.compat import crossfade, num_compat_frames, tile_codes, tile_windows


@pytest.mark.parametrize(("seconds", "num_windows"), [(1, 2), (10, 2), (15, 3), (30, 3), (31, 2), (60, 3), (120, 5)])
def test_a_clip_fills_as_many_windows_as_in_the_released_tokenizer(seconds, num_windows):
    windows = tile_windows(torch.arange(seconds * 24_000))
    assert windows.shape == (num_windows, 720_240)
    assert torch.equal(windows.flatten(), torch.arange(num_windows * 720_240) % (seconds * 24_000))


def test_a_token_too_many_is_counted():
    assert num_compat_frames(240_000, 5) == 51
    assert num_compat_frames(240_000, 12.5) == 126


@pytest.mark.parametrize(("num_codes", "num_tiled"), [(1, 250), (250, 250), (251, 436), (436, 436), (437, 622)])
def test_codes_are_looped_to_whole_decoding_windows(num_codes, num_tiled):
    tiled = tile_codes(torch.arange(num_codes)[:, None], 250, 186)
    assert len(tiled) == num_tiled
    assert torch.equal(tiled[:num_codes, 0], torch.arange(num_codes))


def test_a_cross_fade_of_equal_audio_is_that_audio():
    waveform = torch.randn(100)
    assert torch.allclose(crossfade([waveform[:60], waveform[40:]], 20), waveform, atol=1e-6)
