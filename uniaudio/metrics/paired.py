"""Two systems on the same samples: how far apart their scores are, how sure that is, and what remains of it among many metrics.

Samples of one recording are not independent, so recordings are drawn, not samples. The interval is that of the percentile bootstrap; the
p-value that of the permutation test which swaps the two systems within recordings: with n recordings it can be no smaller than 2 / 2^n,
where a bootstrap would call two recordings proof. Seeded: equal inputs give equal numbers.

    Sides: `[N, 2]` float64, numerator and denominator of each sample; a score is the ratio of their sums, passed through `shape`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from uniaudio_schemas.errors import UsageError

_EXHAUSTIVE = 12
"""Recordings up to which all swaps are looked at: 4,096."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Score of the second system minus that of the first."""

    value: float
    low: float | None
    """95 % interval; None with fewer than two recordings."""
    high: float | None
    p_value: float | None
    num_recordings: int


def paired_difference(
    first_N2: np.ndarray,
    second_N2: np.ndarray,
    recordings: Sequence[str],
    *,
    shape: Callable[[np.ndarray], np.ndarray] = np.asarray,
    num_resamples: int = 4_000,
    seed: int = 0,
) -> Difference | None:
    """The difference between two systems on the same samples; None where either has no weight."""
    if not len(first_N2) == len(second_N2) == len(recordings):
        raise UsageError(
            f"Sides and recordings must be of the same samples, but are {len(first_N2)}, {len(second_N2)} and {len(recordings)}."
        )
    sides_RS2 = np.stack([_by_recording(side, recordings) for side in (first_N2, second_N2)], axis=1)
    num_recordings = len(sides_RS2)
    if not num_recordings or (sides_RS2.sum(axis=0)[:, 1] <= 0).any():
        return None
    value = float(_differences(sides_RS2.sum(axis=0)[None], shape)[0])
    if num_recordings < 2:
        return Difference(value=value, low=None, high=None, p_value=None, num_recordings=num_recordings)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, num_recordings, (num_resamples, num_recordings))
    differences = _differences(np.stack([sides_RS2[rows].sum(axis=0) for rows in draws]), shape)
    low, high = np.quantile(differences[np.isfinite(differences)], (0.025, 0.975))
    return Difference(
        value=value,
        low=float(low),
        high=float(high),
        p_value=_p_value(sides_RS2, value, shape, num_resamples, rng),
        num_recordings=num_recordings,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrected for their number (Holm 1979), in their order: the chance that any of those below a level is there by chance."""
    ranked = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * value))
        corrected[place] = largest
    return corrected


def _by_recording(side_N2: np.ndarray, recordings: Sequence[str]) -> np.ndarray:
    """`[N, 2]` -> `[R, 2]`, in the order of their names, so that the order of samples says nothing."""
    places = {name: place for place, name in enumerate(sorted(set(recordings)))}
    sums_R2 = np.zeros((len(places), 2))
    np.add.at(sums_R2, [places[name] for name in recordings], np.asarray(side_N2, np.float64).reshape(-1, 2))
    return sums_R2


def _differences(sums_BS2: np.ndarray, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        scores_BS = shape(sums_BS2[..., 0] / sums_BS2[..., 1])
    return np.asarray(scores_BS[:, 1] - scores_BS[:, 0])


def _p_value(
    sides_RS2: np.ndarray,
    value: float,
    shape: Callable[[np.ndarray], np.ndarray],
    num_resamples: int,
    rng: np.random.Generator,
) -> float:
    num_recordings = len(sides_RS2)
    is_exhaustive = num_recordings <= _EXHAUSTIVE
    swaps_BR = (
        np.array(list(product((False, True), repeat=num_recordings)))
        if is_exhaustive
        else rng.random((num_resamples, num_recordings)) < 0.5
    )
    swapped_RS2 = sides_RS2[:, ::-1]
    sums = np.stack([np.where(swap[:, None, None], swapped_RS2, sides_RS2).sum(axis=0) for swap in swaps_BR])
    distances = np.abs(_differences(sums, shape))
    # Sums in another order differ in their last digits.
    as_far = int((distances >= abs(value) * (1 - 1e-9) - 1e-12).sum())
    return as_far / len(distances) if is_exhaustive else (1 + as_far) / (1 + len(distances))
