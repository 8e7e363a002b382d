"""Speaker similarity: cosine of two voice embeddings, -1 to 1, higher is more alike."""

import numpy as np
from uniaudio_schemas.errors import UsageError


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> float | None:
    """Of two `[D]` embeddings of the same encoder; None where either is all zero (no voice was found)."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise UsageError(f"Embeddings must be [D] of one length, but are {first.shape} and {second.shape}.")
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else None
