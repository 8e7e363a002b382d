import subprocess
import sys

import numpy as np
import pytest
import torch

from uniaudio.audio import resample as module
from uniaudio.audio.frames import resampled_length
from uniaudio.audio.resample import resample, resample_tensor

RATES = [(24_000, 16_000), (44_100, 24_000), (11_025, 24_000), (48_000, 24_000), (16_000, 24_000), (8_000, 24_000)]


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_it_equals_torchaudios_resampler_bit_for_bit(from_rate: int, to_rate: int) -> None:
    pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    from uniaudio.audio.torchaudio_cpu import import_torchaudio

    samples_CN = torch.randn(2, 5_000, generator=torch.Generator().manual_seed(0))
    theirs = import_torchaudio().transforms.Resample(from_rate, to_rate)(samples_CN)
    assert torch.equal(resample_tensor(samples_CN, from_rate, to_rate), theirs)


@pytest.mark.parametrize("num_samples", [1, 2, 146, 147, 148, 10_001])
def test_the_length_is_the_one_frames_promises(num_samples: int) -> None:
    result = resample(np.ones(num_samples, np.float32), 44_100, 24_000)
    assert result.shape == (resampled_length(num_samples, 44_100, 24_000),)


def test_rates_without_a_common_divisor_give_what_the_filter_bank_gives() -> None:
    samples_CN = torch.randn(1, 3_000, generator=torch.Generator().manual_seed(0))
    by_bank = module._by_filter_bank(samples_CN, 441, 320)[:, :2_176]
    torch.testing.assert_close(module._by_sample(samples_CN, 441, 320, 2_176), by_bank, atol=5e-5, rtol=0)


def test_a_tone_keeps_its_pitch_at_an_odd_rate() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(44_101) / 44_101).astype(np.float32)
    result = resample(tone, 44_101, 24_000)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(24_000) / 24_000)
    np.testing.assert_allclose(result[100:-100], expected[100:-100], atol=2e-3)


def test_the_same_rate_changes_nothing() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    assert np.array_equal(resample(samples, 24_000, 24_000), samples)


@pytest.mark.slow  # imports transformers in a fresh interpreter
def test_transformers_still_works_after_torchaudio_was_imported() -> None:
    code = """
from uniaudio.audio.torchaudio_cpu import import_torchaudio
first = import_torchaudio()
import importlib.util, torchaudio, transformers, numpy, torch
from transformers import WhisperFeatureExtractor, WavLMModel, WavLMConfig, Wav2Vec2ConformerModel
assert import_torchaudio() is first is torchaudio
importlib.util.find_spec("torchaudio._extension")
WhisperFeatureExtractor()(numpy.zeros(1600, "f4"), sampling_rate=16000)
torchaudio.transforms.MelSpectrogram()(torch.zeros(1, 4000))
if not getattr(torchaudio._extension, "_IS_TORCHAUDIO_EXT_AVAILABLE", False):
    try:
        torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 2, dtype=torch.int32))
    except Exception as error:
        assert "extension" in str(error), error
print("ok")
"""
    pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr[-2_000:]
