"""What encoding takes and what it refuses: any rate, channels and length; one clear line for everything else."""

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import num_reasoning_frames, num_reconstruction_frames, resampled_length
from uniaudio.audio.resample import resample
from uniaudio.codec.encoding import encode_clips
from uniaudio.codec.windows import PIECE_S, check_clip, clip_windows, resampled
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros(0, np.float32), "Clip 1 must hold audio, but is empty"),
        (np.zeros((0, 5), np.float32), r"Clip 1 must have 1 to 32 channels, but has shape \[0, 5\]"),
        (np.zeros((2, 0), np.float32), "Clip 1 must hold audio"),
        (np.zeros((900, 2), np.float32), r"but has shape \[900, 2\]"),
        (np.zeros((1, 1, 5), np.float32), r"Clip 1 must be audio \[N\] or \[C, N\], but has shape \[1, 1, 5\]"),
        (np.float32(0.5), r"but has shape \[\]"),
        (np.array([0.0, np.nan], np.float32), "Clip 1 must be finite, but holds NaN or infinity"),
        (np.array([[0.0], [-np.inf]], np.float32), "Clip 1 must be finite"),
        (np.array([1, 2], np.int16), r"Clip 1 must be floating point in -1..1, but is int16"),
        (np.array([0.0, 32_767.0]), r"Clip 1 must be in -1..1 \(at most 100\), but reaches 32767"),
        (np.array([1j]), r"but is complex128"),
    ],
)
def test_codec_audio_that_is_none_is_refused_by_name(clip, message):
    with pytest.raises(UsageError, match=message):
        tiny_codec().encode([a_waveform(0.1), clip])


@pytest.mark.parametrize("sample_rate", [0, -24_000, 999, 768_001, 44_100.5, float("nan"), None])
def test_codec_a_rate_that_nobody_records_at_is_refused(sample_rate):
    with pytest.raises(UsageError, match="`sample_rate` must be 1000 to 768000 Hz, but is"):
        tiny_codec().encode([a_waveform(0.1)], sample_rate=sample_rate)


def test_codec_blocks_without_audio_are_refused():
    with pytest.raises(UsageError, match="`blocks` must hold audio, but is empty"):
        tiny_codec().encode_blocks([])
    with pytest.raises(UsageError, match="A block must be finite"):
        tiny_codec().encode_blocks([np.zeros(5, np.float32), np.full(5, np.nan, np.float32)])


SILENCE = np.zeros(12_000, np.float32)


@pytest.mark.parametrize(
    "clip",
    [
        SILENCE,
        SILENCE + 0.7,
        np.clip(30 * a_waveform(0.5), -1, 1),
        np.ones(1, np.float32),
        np.zeros(1, np.float32),
        SILENCE + 1e-38,
        50 * a_waveform(0.5),
        a_waveform(0.05),
    ],
    ids=["silence", "DC", "clipped", "one sample", "one zero", "denormals", "far beyond full scale", "0.05 s"],
)
def test_codec_degenerate_audio_has_defined_codes(clip):
    codec = tiny_codec()
    (encoded,) = encode_clips(codec, [check_clip(clip, 0)], sample_rate=24_000, keep_hidden=True)
    assert torch.isfinite(encoded.reasoning_hidden).all() and torch.isfinite(encoded.reconstruction_hidden).all()
    codes = codec.encode([clip])[0]
    assert codes.reasoning.shape == (num_reasoning_frames(len(clip)), 8)
    assert codes.reconstruction.shape == (num_reconstruction_frames(len(clip)), 8)
    (waveform,) = codec.decode([codes], steps=1)
    assert len(waveform) == len(clip) and np.isfinite(waveform).all()


def test_codec_the_channels_of_a_clip_are_averaged():
    codec, left, right = tiny_codec(), a_waveform(0.5), a_waveform(0.5, seed=1, frequency=300)
    stereo, mono, twice = codec.encode([np.stack([left, right]), (left + right) / 2, np.stack([left, left])])
    assert np.array_equal(stereo.reconstruction, mono.reconstruction)
    (alone,) = codec.encode([left])
    assert np.array_equal(twice.reconstruction, alone.reconstruction)
    assert not np.array_equal(mono.reconstruction, alone.reconstruction)


@pytest.mark.parametrize("sample_rate", [1_000, 8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 192_000, 768_000])
def test_codec_any_rate_gives_the_frames_of_the_same_time(sample_rate):
    num_samples = round(0.31 * sample_rate)
    clip = np.random.default_rng(0).uniform(-0.5, 0.5, num_samples).astype(np.float32)
    (codes,) = tiny_codec().encode([clip], sample_rate=sample_rate)
    assert codes.num_samples == resampled_length(num_samples, sample_rate, 24_000)
    assert len(codes.reasoning) == 2 and len(codes.reconstruction) == 4


@pytest.mark.parametrize("sample_rate", [1_000, 8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("extra", [-1, 0, 1, 7, 160, 5_000])
def test_resampling_in_pieces_leaves_no_seam(sample_rate, extra):
    """Against the whole clip at once; where the clip ends beside the end of a piece as well."""
    num_samples = 2 * PIECE_S * sample_rate + extra
    clip = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, num_samples).astype(np.float32))
    pieces = torch.cat(list(resampled(clip.split(100_003), sample_rate)))
    whole = torch.from_numpy(resample(clip.numpy(), sample_rate, 24_000))
    assert pieces.shape == whole.shape
    assert torch.allclose(pieces, whole, atol=2e-6)


def test_windows_hold_the_clip_and_less_than_a_bucket_of_zeros():
    clip = torch.arange(1.0, 70_001.0)[None]
    windows = list(clip_windows(clip, 24_000, 28_800))
    assert [len(window) for window in windows] == [28_800, 28_800, 19_200]
    joined = torch.cat(windows)
    assert torch.equal(joined[:70_000], clip[0])
    assert not joined[70_000:].any()
