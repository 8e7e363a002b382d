"""STOI (Taal et al. 2011): predicted share of intelligible speech against its reference, about 0 to 1, higher is
better. Package `pystoi`.
"""

import warnings

import numpy as np
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.loudness import is_silent


def stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, *, extended: bool = False) -> float | None:
    """STOI of `[N]` float speech. The longer signal is cut. None where fewer than 30 frames (0.4 s) of speech are left, or
    either is silent.

    `extended`: ESTOI (Jensen and Taal 2016), which also follows noise that comes and goes.
    """
    with optional_packages():
        from pystoi import stoi as package_stoi

    num_samples = min(len(reference), len(estimate))
    target, output = np.asarray(reference[:num_samples], np.float64), np.asarray(estimate[:num_samples], np.float64)
    if num_samples < sample_rate // 4 or is_silent(target) or not np.any(output):
        return None
    with warnings.catch_warnings():
        # the package warns and returns 1e-5 where too little speech is left
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(package_stoi(target, output, sample_rate, extended=extended))
        except RuntimeWarning:
            return None
