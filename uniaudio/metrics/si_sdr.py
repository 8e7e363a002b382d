"""Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), in decibels, higher is better: what of the estimate is the
reference at some gain, against all the rest of it.
"""

import numpy as np

_MOST_DB = 100.0
"""Score of an estimate that equals the reference: float32 resolves no more."""


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """SI-SDR (dB) of `[N]` float audio without its mean, between -100 and 100. The longer signal is cut. None where either is silent."""
    num_samples = min(len(reference), len(estimate))
    target, output = (np.asarray(part[:num_samples], np.float64) for part in (reference, estimate))
    if not num_samples:
        return None
    target, output = target - target.mean(), output - output.mean()
    power = float(target @ target)
    if power <= 0 or not np.any(output):
        return None
    projected = (float(output @ target) / power) * target
    residual = output - projected
    signal, noise = float(projected @ projected), float(residual @ residual)
    ratio = 10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300))
    return float(np.clip(ratio, -_MOST_DB, _MOST_DB))
