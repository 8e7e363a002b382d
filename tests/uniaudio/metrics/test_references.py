"""Metrics against the libraries that the field computes them with, on random inputs; `test_text_metrics` and `test_statistics` hold the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.uniaudio.metrics.test_audio_metrics import noisy, speech_like
from uniaudio.audio.resample import resample
from uniaudio.metrics.caption import rouge_l, unigram_f1
from uniaudio.metrics.perplexity import perplexity
from uniaudio.metrics.pesq import wide_band_pesq
from uniaudio.metrics.si_sdr import si_sdr
from uniaudio.metrics.speaker import cosine_similarity
from uniaudio.metrics.spectral import multi_resolution_stft_distance
from uniaudio.metrics.stoi import stoi
from uniaudio.metrics.wer import character_errors, word_errors

RATE = 24_000
sentences = st.lists(st.text(alphabet="abcdxyz", min_size=1, max_size=6), min_size=1, max_size=12).map(" ".join)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=20)


@given(sentences, sentences)
def test_overlaps_are_rouge_scores(reference: str, hypothesis: str) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    found = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=False).score(reference, hypothesis)
    assert unigram_f1(reference, hypothesis) == pytest.approx(found["rouge1"].fmeasure)
    assert rouge_l(reference, hypothesis) == pytest.approx(found["rougeL"].fmeasure)


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=5))
def test_rates_of_a_corpus_are_jiwers(pairs: list[tuple[str, str]]) -> None:
    jiwer = pytest.importorskip("jiwer")
    references, hypotheses = (list(side) for side in zip(*pairs, strict=True))
    measures: list[tuple[Callable[[str, str], tuple[int, int]], Any]] = [
        (word_errors, jiwer.wer), (character_errors, jiwer.cer)
    ]  # fmt: skip
    for errors, rate in measures:
        counts = [errors(*pair) for pair in pairs]
        assert sum(wrong for wrong, _ in counts) / sum(length for _, length in counts) == pytest.approx(
            rate(references, hypotheses)
        )


@few
@given(seeds)
def test_si_sdr_is_what_least_squares_leave(seed: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    generator = np.random.default_rng(seed)
    target, other = generator.standard_normal((2, 400))
    made = generator.uniform(-2, 2) * target + generator.uniform(0.01, 2) * other + generator.uniform(-1, 1)
    centred = (target - target.mean())[:, None]
    gain = linalg.lstsq(centred, made - made.mean())[0]
    rest = made - made.mean() - (centred @ gain)
    expected = 10 * np.log10(np.sum((centred @ gain) ** 2) / np.sum(rest**2))
    assert si_sdr(target, made) == pytest.approx(expected, abs=1e-6)


@few
@given(seeds)
def test_likeness_is_scipys_cosine(seed: int) -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    first, second = np.random.default_rng(seed).standard_normal((2, 256))
    assert cosine_similarity(first, second) == pytest.approx(1 - distance.cosine(first, second))


@few
@given(seeds)
def test_a_perplexity_is_torchs_cross_entropy(seed: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    logits_NV = torch.randn(12, 30, generator=generator).double()
    targets_N = torch.randint(0, 30, (12,), generator=generator)
    losses_N = torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
    pairs = [(float(losses_N[:5].sum()), 5), (float(losses_N[5:].sum()), 7)]
    expected = float(torch.nn.functional.cross_entropy(logits_NV, targets_N).exp())
    assert perplexity(pairs) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_speech_scores_are_the_packages_own_at_their_rates(seed: int) -> None:
    """Ours take 24 kHz; the packages 16 and any."""
    pesq, pystoi = pytest.importorskip("pesq"), pytest.importorskip("pystoi")
    clean = resample(speech_like(), 16_000, RATE)
    made = noisy(clean, (0.003, 0.01, 0.05)[seed])
    telephone = [resample(one, RATE, 16_000) for one in (clean, made)]
    assert wide_band_pesq(clean, made, RATE) == pytest.approx(pesq.pesq(16_000, *telephone, "wb"))
    expected = pystoi.stoi(clean.astype(np.float64), made.astype(np.float64), RATE)
    assert stoi(clean, made, RATE) == pytest.approx(expected)


@few
@given(seeds)
def test_the_stft_distance_is_its_papers_formula_on_scipys_transform(seed: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    generator = np.random.default_rng(seed)
    first, second = (0.1 * generator.standard_normal((2, 6_000))).astype(np.float32)
    values = []
    for window in (512, 1024, 2048):
        taper = signal.windows.hann(window, sym=False)
        transform = signal.ShortTimeFFT(taper, window // 4, fs=1.0)
        padded = [np.pad(one.astype(np.float64), window // 2, mode="reflect") for one in (first, second)]
        frames = [
            np.lib.stride_tricks.sliding_window_view(one, window)[:: window // 4] * transform.win for one in padded
        ]
        target, made = (np.abs(np.fft.rfft(one, axis=1)) for one in frames)
        convergence = np.linalg.norm(target - made) / np.linalg.norm(target)
        logs = np.abs(np.log(np.maximum(target, 1e-5)) - np.log(np.maximum(made, 1e-5))).mean()
        values.append(convergence + logs)
    assert multi_resolution_stft_distance(first, second) == pytest.approx(np.mean(values), rel=1e-4)
