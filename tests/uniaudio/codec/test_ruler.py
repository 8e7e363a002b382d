"""The ruler of `codec evaluate`: a coder's delay is found and undone, and ours is compared as it comes."""

import numpy as np
import pytest
import torch

from uniaudio.codec.evaluation import evaluate as evaluation
from uniaudio.codec.evaluation.coders import Coded, Coder
from uniaudio.codec.evaluation.delay import MAX_DELAY, STEP, find_delay, undo_delay
from uniaudio.codec.evaluation.evaluate import evaluate
from uniaudio.codec.evaluation.held_out import HeldOutClip
from uniaudio.testing import tiny_codec


def syllables(duration_s: float, seed: int = 0) -> np.ndarray:
    """Bursts of noise of random lengths and loudness over a little noise: envelopes that move."""
    generator = np.random.default_rng(seed)
    num_samples = round(duration_s * 24_000)
    loudness = np.repeat(generator.random(num_samples // 1_200 + 1) ** 3, 1_200)[:num_samples]
    return ((0.3 * loudness + 0.003) * generator.standard_normal(num_samples)).astype(np.float32)


def with_another_phase(samples: np.ndarray) -> np.ndarray:
    """The same magnitudes of a spectrogram, with phases that fit together but are not the original's (Griffin and Lim)."""
    window = torch.hann_window(1024)
    options = {"n_fft": 1024, "hop_length": 128, "window": window}
    wanted = torch.stft(torch.from_numpy(samples), **options, return_complex=True).abs()
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.polar(wanted, 6.283 * torch.rand(wanted.shape, generator=generator))
    for _ in range(30):
        made = torch.istft(spectrum, **options, length=len(samples))
        spectrum = torch.polar(wanted, torch.stft(made, **options, return_complex=True).angle())
    return made.numpy()


def delayed(samples: np.ndarray, delay: int) -> np.ndarray:
    return undo_delay(samples, -delay, len(samples))


@pytest.mark.parametrize("delay", [-960, 0, 24, 480, 2_000])
def test_the_delay_of_a_coder_is_found_whatever_it_does_to_the_phase(delay: int) -> None:
    clips = [syllables(2.0, seed) for seed in range(3)]
    found = find_delay((clip, delayed(with_another_phase(clip), delay)) for clip in clips)
    assert abs(found - delay) <= STEP


def test_a_coder_has_one_delay_even_where_a_clip_says_nothing() -> None:
    clip, hum = syllables(2.0), 0.1 * np.sin(np.arange(48_000) / 30).astype(np.float32)
    assert abs(find_delay([(hum, hum), (clip, delayed(clip, 720)), (hum, hum)]) - 720) <= STEP
    silence = np.zeros(48_000, np.float32)
    assert find_delay([(clip, silence), (clip[:10], clip[:10])]) == find_delay([]) == 0


@pytest.mark.parametrize("delay", [-MAX_DELAY, -1, 0, 1, 777])
def test_a_delay_is_undone(delay: int) -> None:
    clip = syllables(1.0)
    assert np.array_equal(undo_delay(delayed(clip, delay), delay, 24_000)[2_400:-2_400], clip[2_400:-2_400])
    assert undo_delay(clip[:100], 200, 50).tolist() == [0.0] * 50


def test_a_reconstruction_of_another_phase_loses_nothing_and_a_late_coder_is_brought_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ours is not moved, wherever its waveform is most like the original; a coder is moved by its own delay."""
    clips = [
        HeldOutClip(clip_id=str(seed), domain="sound", split="test", samples=syllables(1.0, seed), script=None)
        for seed in range(2)
    ]
    late = Coder(name="late", run=lambda samples: Coded(delayed(samples, 480), 100))
    monkeypatch.setattr(evaluation, "_coders", lambda config, folder: ([late], []))
    monkeypatch.setattr(evaluation, "autoencoded", lambda codec, samples: Coded(with_another_phase(samples), 100))
    codec = tiny_codec()
    monkeypatch.setattr(codec, "decode", lambda codes, **_: [delayed(clips[0].samples, 480)], raising=False)
    rows = evaluate(codec, clips, steps=1).rows
    distance = {(row["system"], row["clip"]): float(str(row["log_mel_distance"])) for row in rows}
    for clip in "01":
        assert distance["late", clip] < 0.25
        assert distance["its autoencoder alone", clip] < 0.25
    assert distance["ReasoningCodec debug", "0"] > 0.4
