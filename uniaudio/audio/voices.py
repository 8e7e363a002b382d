"""Which embeddings are of one voice: the clips of a corpus, or the windows of a clip.

Agglomerative clustering with average linkage: two clusters are as alike as their members are on average. That is the product of
their mean vectors, so no matrix of all pairs is ever held; and all pairs that are each other's nearest are joined at once,
which gives the same clusters as joining one by one (average linkage is reducible: Murtagh 1983), whatever the order of
the rows.
"""

# Shapes: N embeddings, D width, B windows, K voices, T frames

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import UsageError

MIN_SIMILARITY = 0.74
"""Mean cosine from which clusters of GE2E embeddings of clips of 2 s or more are one voice. Of 351 clips by 14 actors 91 % of
the pairs joined were of one actor and 91 % of an actor's pairs were joined; at 0.70 two men become one, at 0.78 a shout
another voice."""
JOIN_SIMILARITY = 0.70
"""Cosine to the direction of a cluster from which a clip that is too short to be sure of joins it."""
_WINDOW_SIMILARITY, _VOICE_SIMILARITY, _MIN_WINDOWS = 0.66, 0.80, 4
"""Least cosine between windows of 1.6 s, which scatter more than clips; between the directions of voices; and the least number
of windows of a voice."""
_ROWS_A_BLOCK = 2_048
"""Rows of the similarity matrix that are computed at once."""
_EXACT_ROWS = 16_384
"""Most rows that are clustered at once. More are clustered in parts first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Frames in a row in which one voice speaks."""

    voice: int
    """0 for the first voice that is heard, 1 for the second, …"""
    first_frame: int
    num_frames: int


def cluster_voices(
    embeddings: np.ndarray,
    ids: Sequence[str] | None = None,
    anchors: np.ndarray | None = None,
    min_similarity: float = MIN_SIMILARITY,
) -> np.ndarray:
    """`[N, D]` of unit length -> `[N]` int64: the cluster of each row, numbered by their first rows in the order of `ids`.

    `anchors` (`[N]` bool) are the rows that found clusters, such as clips of 2 s or more; the others join the nearest or stay
    alone. Up to 16,384 anchors the clusters do not depend on the order of rows. More are clustered in parts, in the
    order of `ids` (of the rows, without), and then the clusters of the parts.
    """
    vectors_ND = np.ascontiguousarray(embeddings, np.float32)
    if vectors_ND.ndim != 2:
        raise UsageError(f"`embeddings` must be [N, D], but is {vectors_ND.shape}.")
    for name, values in (("ids", ids), ("anchors", anchors)):
        if values is not None and len(values) != len(vectors_ND):
            raise UsageError(f"`{name}` must be {len(vectors_ND)}, one a row, but are {len(values)}.")
    order = np.argsort(np.asarray(ids), kind="stable") if ids is not None else np.arange(len(vectors_ND))
    founds_N = np.ones(len(vectors_ND), bool) if anchors is None else np.asarray(anchors, bool)[order]
    sorted_ND = vectors_ND[order]
    cluster_N = np.empty(len(vectors_ND), np.int64)
    cluster_N[founds_N] = _cluster(sorted_ND[founds_N], min_similarity)
    cluster_N[~founds_N] = _nearest_clusters(sorted_ND[~founds_N], sorted_ND[founds_N], cluster_N[founds_N])
    labels = np.empty(len(vectors_ND), np.int64)
    labels[order] = in_order(cluster_N)
    return labels


def in_order(labels: np.ndarray) -> np.ndarray:
    """`[N]` -> `[N]` int64: the same clusters, numbered by where they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], np.int64)


def cluster_directions(embeddings_ND: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """`[K, D]` of unit length: the mean of each cluster's members; clusters are 0 … K - 1."""
    sums_KD = np.zeros((int(labels_N.max(initial=-1)) + 1, embeddings_ND.shape[1]))
    np.add.at(sums_KD, labels_N, embeddings_ND)
    norms_K1 = np.linalg.norm(sums_KD, axis=1, keepdims=True)
    return np.asarray(sums_KD / np.maximum(norms_K1, 1e-12), np.float32)


def _nearest_clusters(vectors_MD: np.ndarray, anchors_ND: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """`[M]` the cluster of the anchors that is nearest, or a new number for a row that is near to none."""
    directions_KD = cluster_directions(anchors_ND, labels_N)
    own_M = len(directions_KD) + np.arange(len(vectors_MD))
    if not len(directions_KD):
        return own_M
    found_M = np.empty(len(vectors_MD), np.int64)
    for first in range(0, len(vectors_MD), _ROWS_A_BLOCK):
        part = slice(first, first + _ROWS_A_BLOCK)
        similar = vectors_MD[part] @ directions_KD.T
        found_M[part] = np.where(similar.max(axis=1) >= JOIN_SIMILARITY, similar.argmax(axis=1), own_M[part])
    return found_M


def _cluster(vectors_ND: np.ndarray, min_similarity: float) -> np.ndarray:
    num_rows = len(vectors_ND)
    joined_N = np.arange(num_rows)
    for first in range(0, num_rows, _EXACT_ROWS) if num_rows > _EXACT_ROWS else ():
        part = slice(first, first + _EXACT_ROWS)
        joined_N[part] = first + _join(vectors_ND[part], np.ones(len(vectors_ND[part])), min_similarity)
    heads, cluster_N = np.unique(joined_N, return_inverse=True)
    sizes = np.bincount(cluster_N, minlength=len(heads)).astype(np.float64)
    means = np.zeros((len(heads), vectors_ND.shape[1]))
    np.add.at(means, cluster_N, vectors_ND)
    means /= np.maximum(sizes, 1)[:, None]
    return in_order(_join(means.astype(np.float32), sizes, min_similarity)[cluster_N])


def _join(means_ND: np.ndarray, sizes_N: np.ndarray, min_similarity: float) -> np.ndarray:
    """`[N]` the first row of the cluster that each row ends in."""
    means_ND, sizes_N = means_ND.copy(), sizes_N.astype(np.float64)
    head_N = np.arange(len(means_ND))
    alive_N = np.ones(len(means_ND), bool)
    nearest_N, similarity_N = np.full(len(means_ND), -1), np.full(len(means_ND), -np.inf, np.float32)
    stale = head_N
    while True:
        nearest_N[stale], similarity_N[stale] = _nearest(means_ND, stale, np.flatnonzero(alive_N))
        # What is like nothing stays so, because joining others brings them no nearer.
        alive_N &= similarity_N >= min_similarity
        rows = np.flatnonzero(alive_N)
        if not rows.size:
            return _roots(head_N)
        first, second = _pairs(rows, nearest_N, similarity_N)
        total = sizes_N[first] + sizes_N[second]
        share = (sizes_N[first] / total)[:, None].astype(np.float32)
        means_ND[first] = share * means_ND[first] + (1 - share) * means_ND[second]
        sizes_N[first] = total
        head_N[second] = first
        alive_N[second] = False
        is_changed = np.zeros(len(means_ND), bool)
        is_changed[first] = is_changed[second] = True
        # A retired row is among no one's candidates either.
        stale = np.flatnonzero(alive_N & (is_changed | is_changed[nearest_N] | ~alive_N[nearest_N]))


def _pairs(rows: np.ndarray, nearest_N: np.ndarray, similarity_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are each other's nearest, the lower one first."""
    mutual = rows[(nearest_N[nearest_N[rows]] == rows) & (rows < nearest_N[rows])]
    mutual = mutual[np.isin(nearest_N[mutual], rows)]
    if mutual.size:
        return mutual, nearest_N[mutual]
    # Rounding can make a ring of equals, each of which is nearest to the next: one of them begins.
    row = rows[similarity_N[rows].argmax()]
    return np.minimum(row, nearest_N[[row]]), np.maximum(row, nearest_N[[row]])


def _nearest(means_ND: np.ndarray, rows: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `rows`, the most similar other row of `among`, and the similarity; -1 and -inf where there is no other."""
    if len(among) < 2:
        return np.full(len(rows), -1), np.full(len(rows), -np.inf, np.float32)
    candidates_MD = means_ND[among]
    at = np.searchsorted(among, rows)
    nearest, similarity = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for first in range(0, len(rows), _ROWS_A_BLOCK):
        part = slice(first, first + _ROWS_A_BLOCK)
        similar = means_ND[rows[part]] @ candidates_MD.T
        similar[np.arange(len(similar)), at[part]] = -np.inf
        best = similar.argmax(axis=1)
        nearest[part], similarity[part] = among[best], similar[np.arange(len(similar)), best]
    return nearest, similarity


def _roots(head_N: np.ndarray) -> np.ndarray:
    while True:
        above_N = head_N[head_N]
        if np.array_equal(above_N, head_N):
            return head_N
        head_N = above_N


def follow_voices(embeddings: np.ndarray, step: int, window: int, num_frames: int) -> list[Stretch]:
    """Who speaks when, of `num_frames` frames in which always one voice speaks.

    `embeddings` is `[B, D]` of unit length, of windows of `window` frames, one each `step` frames. A voice is a cluster of
    `_MIN_WINDOWS` or more; a frame is of the voice that the windows over it are most like.
    """
    vectors_BD = np.asarray(embeddings, np.float32)
    labels_B = cluster_voices(vectors_BD, min_similarity=_WINDOW_SIMILARITY)
    sizes_K = np.bincount(labels_B)
    # A window over a change is like neither voice, and a shout is like no one.
    clusters = np.flatnonzero(sizes_K >= min(_MIN_WINDOWS, sizes_K.max()))
    directions_KD = cluster_directions(vectors_BD, labels_B)[clusters]
    same_K = cluster_voices(directions_KD, min_similarity=_VOICE_SIMILARITY)
    likeness_BK = vectors_BD @ cluster_directions(directions_KD, same_K).T
    weight_W = np.hanning(window + 2)[1:-1]
    total_TK = np.zeros((num_frames, likeness_BK.shape[1]))
    for row, likeness_K in enumerate(likeness_BK):
        part = slice(row * step, min(row * step + window, num_frames))
        total_TK[part] += weight_W[: part.stop - part.start, None] * likeness_K
    last = min((len(vectors_BD) - 1) * step + window, num_frames)
    total_TK[last:] = likeness_BK[-1]
    voice_T = in_order(total_TK.argmax(axis=1))
    starts = np.flatnonzero(np.diff(voice_T, prepend=-1))
    ends = np.append(starts[1:], num_frames)
    return [
        Stretch(voice=int(voice_T[start]), first_frame=int(start), num_frames=int(end - start))
        for start, end in zip(starts, ends, strict=True)
    ]
