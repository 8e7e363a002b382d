"""Confidence intervals by the percentile bootstrap (Efron 1979) over samples, or over groups of samples that are not
independent, seeded: the same values give the same interval.
"""

from collections.abc import Sequence

import numpy as np
from uniaudio_schemas.errors import UsageError


def bootstrap_interval(
    values: Sequence[float],
    weights: Sequence[float] | None = None,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    num_resamples: int = 1_000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """`(low, high)` of `sum(values) / sum(weights)`, or of the mean without weights; None with fewer than two groups.

    With weights, `values` are numerators and `weights` denominators of one sample each (errors and words of a word
    error rate; losses and tokens), so that the interval is that of the corpus-level ratio. With `groups` (the recording
    of each sample, say) whole groups are drawn; without, each sample is one.
    """
    if not 0 < level < 1:
        raise UsageError(f"`level` must lie between 0 and 1, but is {level}.")
    numerators = np.asarray(values, np.float64)
    denominators = np.ones_like(numerators) if weights is None else np.asarray(weights, np.float64)
    if numerators.shape != denominators.shape or numerators.ndim != 1:
        raise UsageError(f"Values and weights must be [N], but are {numerators.shape} and {denominators.shape}.")
    if groups is not None:
        if len(groups) != len(numerators):
            raise UsageError(f"`groups` must name one group a value ({len(numerators)}), but has {len(groups)}.")
        numerators, denominators = (_sums(part, groups) for part in (numerators, denominators))
    if len(numerators) < 2:
        return None
    draws = np.random.default_rng(seed).integers(0, len(numerators), (num_resamples, len(numerators)))
    totals = denominators[draws].sum(axis=1)
    if not (totals > 0).any():
        return None
    ratios = numerators[draws].sum(axis=1)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(ratios, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _sums(values_N: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """`[N]` -> `[G]`: summed by group, in the order of their first samples."""
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    return np.bincount([places[group] for group in groups], weights=values_N, minlength=len(places))
