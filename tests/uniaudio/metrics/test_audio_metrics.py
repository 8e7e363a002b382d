from collections.abc import Callable

import numpy as np
import pytest

from uniaudio.metrics.dnsmos import dnsmos
from uniaudio.metrics.pesq import wide_band_pesq
from uniaudio.metrics.spectral import log_mel_distance, multi_resolution_stft_distance
from uniaudio.metrics.stoi import stoi

RATE = 16_000
Metric = Callable[[np.ndarray, np.ndarray, int], float | None]


def speech_like(duration_s: float = 2.0) -> np.ndarray:
    """A buzz with moving formants in syllables of a quarter second: enough speech for the standards' detectors."""
    time = np.arange(round(duration_s * RATE)) / RATE
    pitch = 120 + 20 * np.sin(2 * np.pi * 1.5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    partials = [np.sin(k * phase) / (1 + abs(k * 120 - 700 - 400 * np.sin(7 * time)) / 200) for k in range(1, 30)]
    syllables = np.clip(np.sin(2 * np.pi * 2 * time), 0, 1)
    return (0.2 * np.sum(partials, axis=0) * syllables).astype(np.float32)


def noisy(samples: np.ndarray, level: float) -> np.ndarray:
    return samples + level * np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)


def _mrstft(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    return multi_resolution_stft_distance(reference, estimate)


def _pesq(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    pytest.importorskip("pesq")
    return wide_band_pesq(reference, estimate, sample_rate)


def _stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    pytest.importorskip("pystoi")
    return stoi(reference, estimate, sample_rate)


HIGHER: dict[str, tuple[Metric, bool, float]] = {
    "pesq": (_pesq, True, 4.64),
    "stoi": (_stoi, True, 1.0),
    "log-mel": (log_mel_distance, False, 0.0),
    "multi-resolution STFT": (_mrstft, False, 0.0),
}


@pytest.mark.parametrize("name", HIGHER)
def test_a_perfect_copy_is_best_and_more_noise_is_worse(name: str) -> None:
    metric, higher_is_better, best = HIGHER[name]
    clean = speech_like()
    values = [metric(clean, noisy(clean, level), RATE) for level in (0.0, 0.01, 0.1)]
    assert values[0] == pytest.approx(best, abs=0.01)
    assert values == sorted(values, reverse=higher_is_better)
    assert len(set(values)) == 3


@pytest.mark.parametrize("name", HIGHER)
@pytest.mark.parametrize("num_samples", [0, 1, 200])
def test_a_clip_that_is_too_short_has_no_score(name: str, num_samples: int) -> None:
    clip = speech_like(1.0)[4_000 : 4_000 + num_samples]
    assert HIGHER[name][0](clip, clip, RATE) is None


@pytest.mark.parametrize("name", ["pesq", "stoi"])
def test_silence_has_no_speech_score(name: str) -> None:
    metric = HIGHER[name][0]
    silence = np.zeros(RATE, np.float32)
    assert metric(silence, speech_like(1.0), RATE) is None
    assert metric(speech_like(1.0), silence, RATE) is None


@pytest.mark.parametrize("name", HIGHER)
def test_the_longer_one_is_cut(name: str) -> None:
    metric, clean = HIGHER[name][0], speech_like()
    assert metric(clean, np.concatenate([noisy(clean, 0.05), clean]), RATE) == metric(clean, noisy(clean, 0.05), RATE)


@pytest.mark.slow  # a minute of PESQ
def test_pesq_of_a_minute_does_not_overflow() -> None:
    pytest.importorskip("pesq")
    minute = np.tile(speech_like(), 30)
    assert wide_band_pesq(minute, minute, RATE) == pytest.approx(4.64, abs=0.01)


def test_dnsmos_prefers_clean_speech_and_refuses_silence() -> None:
    pytest.importorskip("onnxruntime")
    clean = dnsmos(speech_like(), RATE)
    worse = dnsmos(noisy(speech_like(), 0.05), RATE)
    assert clean is not None
    assert worse is not None
    assert clean.background > worse.background
    assert 1 <= worse.overall <= 5
    assert dnsmos(np.zeros(RATE, np.float32), RATE) is None
    assert dnsmos(np.zeros(0, np.float32), RATE) is None


@pytest.mark.slow  # imports librosa
@pytest.mark.parametrize("duration_s", [3.0, 4.0, 10.5])
def test_dnsmos_equals_the_packages_own_code(duration_s: float) -> None:
    pytest.importorskip("librosa")
    package = pytest.importorskip("speechmos.dnsmos")
    speech = np.clip(noisy(speech_like(duration_s), 0.01), -1, 1)
    theirs, ours = package.run(speech, RATE), dnsmos(speech, RATE)
    assert ours is not None
    expected = [theirs[name] for name in ("ovrl_mos", "sig_mos", "bak_mos", "p808_mos")]
    assert [ours.overall, ours.signal, ours.background, ours.p808] == pytest.approx(expected, abs=1e-3)
