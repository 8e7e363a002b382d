import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError

from uniaudio.metrics.bootstrap import bootstrap_interval
from uniaudio.metrics.frechet import frechet_distance
from uniaudio.metrics.perplexity import perplexity
from uniaudio.metrics.speaker import cosine_similarity

rng = np.random.default_rng(0)


def test_knowing_nothing_has_the_vocabularys_perplexity() -> None:
    assert perplexity([(10 * math.log(512), 10), (5 * math.log(512), 5)]) == pytest.approx(512)


def test_perplexity_without_tokens_is_none_and_with_impossible_ones_infinite() -> None:
    assert perplexity([]) is None
    assert perplexity([(0.0, 0)]) is None
    assert perplexity([(math.inf, 2)]) == math.inf


def test_the_frechet_distance_of_gaussians_is_the_formulas() -> None:
    first = rng.standard_normal((20_000, 3))
    second = 2.0 * rng.standard_normal((20_000, 3)) + (3.0, 0.0, 0.0)
    assert frechet_distance(first, second) == pytest.approx(9 + 3 * (1 - 2) ** 2, rel=0.03)


def test_the_frechet_distance_is_that_of_scipys_matrix_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    first, second = rng.standard_normal((40, 5)), rng.standard_normal((30, 5)) * [1, 2, 3, 4, 5] + 1
    covariances = np.cov(first.T), np.cov(second.T)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    between = first.mean(axis=0) - second.mean(axis=0)
    expected = between @ between + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_an_interval_is_scipys_where_no_sample_belongs_to_another() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = rng.standard_normal(60)
    ours = bootstrap_interval(values, num_resamples=4_000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4_000, rng=0).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_a_set_has_no_frechet_distance_to_itself() -> None:
    embeddings = rng.standard_normal((10, 40))  # fewer samples than dimensions: singular covariances
    assert frechet_distance(embeddings, embeddings) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(embeddings, embeddings[:1]) is None


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.integers(0, 3))
def test_the_interval_is_seeded_and_lies_within_the_values(values: list[float], seed: int) -> None:
    interval = bootstrap_interval(values, seed=seed, num_resamples=50)
    assert interval is not None
    assert interval == bootstrap_interval(values, seed=seed, num_resamples=50)
    assert min(values) - 1e-9 <= interval[0] <= interval[1] <= max(values) + 1e-9


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    intervals = (bootstrap_interval(rng.standard_normal(50), num_resamples=300) for _ in range(200))
    held = sum(interval is not None and interval[0] <= 0 <= interval[1] for interval in intervals)
    assert 178 <= held <= 199


def test_an_interval_of_a_rate_weighs_long_clips_more() -> None:
    interval = bootstrap_interval([0, 100], [1, 100])
    assert interval == (0.0, 1.0)
    assert bootstrap_interval([1.0]) is None
    with pytest.raises(UsageError, match="but are"):
        bootstrap_interval([1.0, 2.0], [1.0])


def test_samples_of_one_group_are_drawn_together() -> None:
    values, cuts = [0.0, 0.0, 1.0, 1.0], ["song", "song", "tune", "tune"]
    assert bootstrap_interval(values, groups=cuts) == bootstrap_interval([0.0, 2.0], [2.0, 2.0])
    assert bootstrap_interval(values, groups=["song"] * 4) is None
    assert bootstrap_interval(values, groups=list("abcd")) == bootstrap_interval(values)
    with pytest.raises(UsageError, match="one group a value"):
        bootstrap_interval(values, groups=["song"])


def test_similarity_is_one_for_one_voice_and_none_for_no_voice() -> None:
    voice = rng.standard_normal(8)
    assert cosine_similarity(voice, 3 * voice) == pytest.approx(1.0)
    assert cosine_similarity(voice, -voice) == pytest.approx(-1.0)
    assert cosine_similarity(voice, np.zeros(8)) is None
    with pytest.raises(UsageError, match="one length"):
        cosine_similarity(voice, voice[:4])
