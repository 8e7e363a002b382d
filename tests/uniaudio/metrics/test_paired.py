import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError

from uniaudio.metrics.paired import holm, paired_difference

RNG = np.random.default_rng(0)


def sides(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], axis=1)


def names(count: int) -> list[str]:
    return [f"r{number:03}" for number in range(count)]


def test_the_p_value_is_scipys_permutation_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = RNG.standard_normal(9), RNG.standard_normal(9) + 0.8
    ours = paired_difference(sides(first), sides(second), names(9))
    theirs = stats.permutation_test(
        (first, second), lambda a, b: b.mean() - a.mean(), permutation_type="samples", n_resamples=np.inf
    )
    assert ours is not None
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.value == pytest.approx(second.mean() - first.mean())


def test_two_recordings_prove_nothing() -> None:
    found = paired_difference(sides(np.zeros(20)), sides(np.ones(20)), ["a"] * 10 + ["b"] * 10)
    assert found is not None
    assert (found.value, found.num_recordings, found.p_value) == (1.0, 2, 0.5)


def test_equal_systems_differ_by_nothing_and_nobody_is_sure() -> None:
    values = sides(RNG.standard_normal(30))
    found = paired_difference(values, values, names(30))
    assert found is not None
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_of_systems_that_are_alike_few_are_called_different() -> None:
    found = [
        paired_difference(sides(RNG.standard_normal(14)), sides(RNG.standard_normal(14)), names(14), num_resamples=300)
        for _ in range(150)
    ]
    called = sum(one is not None and one.p_value is not None and one.p_value <= 0.05 for one in found)
    assert called <= 16  # 7.5 expected; more than 16 by chance once in a thousand


def test_an_interval_holds_the_difference_of_rates_of_a_corpus() -> None:
    first, second = np.array([[0, 1], [100, 100]]), np.array([[1, 1], [50, 100]])
    found = paired_difference(first, second, ["a", "b"])
    assert found is not None
    assert found.value == pytest.approx(51 / 101 - 100 / 101)
    assert found.low is not None
    assert found.low <= found.value


def test_the_order_of_samples_says_nothing() -> None:
    first, second, order = RNG.standard_normal(20), RNG.standard_normal(20), RNG.permutation(20)
    recordings = names(20)
    again = paired_difference(sides(first[order]), sides(second[order]), [recordings[place] for place in order])
    assert again == paired_difference(sides(first), sides(second), recordings)


def test_one_recording_has_no_interval_and_no_weight_no_difference() -> None:
    found = paired_difference(sides(np.zeros(2)), sides(np.ones(2)), ["a", "a"])
    assert found is not None
    assert (found.value, found.low, found.p_value) == (1.0, None, None)
    assert paired_difference(np.zeros((2, 2)), sides(np.ones(2)), ["a", "b"]) is None
    with pytest.raises(UsageError, match="of the same samples"):
        paired_difference(sides(np.zeros(2)), sides(np.ones(2)), ["a"])


def test_holm_is_the_textbooks() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_a_corrected_p_value_is_never_smaller_and_keeps_the_order(values: list[float]) -> None:
    found = [one for one in holm(values) if one is not None]
    assert all(value <= corrected <= 1 for value, corrected in zip(values, found, strict=True))
    assert [found[place] for place in np.argsort(values, kind="stable")] == sorted(found)
