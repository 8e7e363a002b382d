"""Frechet distance between two sets of embeddings, each taken as a Gaussian (Kilgour et al. 2019 for audio): 0 is
equal, lower is better.

Biased upwards with few embeddings: compare only numbers made with the same encoder and the same count.
"""

import numpy as np
from uniaudio_schemas.errors import UsageError


def frechet_distance(reference: np.ndarray, made: np.ndarray) -> float | None:
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` of `[N, D]` and `[M, D]` embeddings; None where either has fewer
    than two.
    """
    reference, made = np.asarray(reference, np.float64), np.asarray(made, np.float64)
    if reference.ndim != 2 or made.ndim != 2 or reference.shape[1] != made.shape[1]:
        raise UsageError(f"Embeddings must be [N, D] and [M, D], but are {reference.shape} and {made.shape}.")
    if min(len(reference), len(made)) < 2:
        return None
    between = reference.mean(axis=0) - made.mean(axis=0)
    first, second = np.atleast_2d(np.cov(reference.T)), np.atleast_2d(np.cov(made.T))
    # tr (C1 C2)^(1/2) through the symmetric C1^(1/2) C2 C1^(1/2), which has the same eigenvalues and needs no general
    # matrix root.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return max(0.0, float(between @ between + np.trace(first) + np.trace(second) - 2 * common))
