"""Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), in decibels, higher is better: what of the estimate is the
reference at some gain, against all the rest of it.
"""

import numpy as np

_MOST_DB = 100.0
"""Of an estimate that is the reference: beyond what float32 can tell apart."""


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """Of `[N]` float audio (the longer one is cut), without its mean, at most 100 and at least -100 dB; None where either is silent."""
    num_samples = min(len(reference), len(estimate))
    target, made = (np.asarray(part[:num_samples], np.float64) for part in (reference, estimate))
    if not num_samples:
        return None
    target, made = target - target.mean(), made - made.mean()
    power = float(target @ target)
    if power <= 0 or not np.any(made):
        return None
    projected = (float(made @ target) / power) * target
    rest = made - projected
    signal, noise = float(projected @ projected), float(rest @ rest)
    ratio = 10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300))
    return float(np.clip(ratio, -_MOST_DB, _MOST_DB))
