"""Which split a clip is in: the source's own, else that of its group, so that no voice, recording or sound is on both sides.

A group is everything that hangs together: clips of one speaker, of one recording, of one given group, copies of one sound, across
corpora. Its split is a function of its name alone, but neither a corpus nor a domain is left without a held-out group where it has one
to spare. All in arrays: 30 bytes a clip.

Names are hashed, so that a new clip moves no other clip. The exceptions: a corpus whose hashes leave a split empty; a corpus of few
groups, which is trained on; a domain that these would leave without anything held out; a clip that joins two groups.
"""

from collections.abc import Sequence

import numpy as np
from uniaudio_schemas.fingerprint import hash_bytes

SPLITS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
NOT_GIVEN = -1
_VAL_FROM, _TEST_FROM = 0.8, 0.9
_MIN_GROUPS = 3
"""A corpus with fewer groups is trained on: the only voice of a corpus is worth more there."""


def connect(num_clips: int, keys: Sequence[np.ndarray]) -> np.ndarray:
    """`[N]` int64: for each clip the smallest index of a clip that it hangs together with.

    Each of `keys` is `[N]` int64: clips with equal keys of 0 or more belong together.
    """
    labels = np.arange(num_clips)
    tables = [(np.flatnonzero(key >= 0), key[key >= 0]) for key in keys]
    while True:
        before = labels
        for places, key in tables:
            if not len(key):
                continue
            least = np.full(int(key.max()) + 1, num_clips)
            np.minimum.at(least, key, labels[places])
            new_labels = labels.copy()
            new_labels[places] = least[key]
            labels = np.minimum(labels, new_labels)
        labels = labels[labels]
        if np.array_equal(labels, before):
            return labels


def assign_splits(
    names: Sequence[str], group: np.ndarray, corpus: np.ndarray, domain: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """`[N]` int8 of `SPLITS`.

    `names[g]` names group g; `group`, `corpus` and `domain` are `[N]` integers from 0, `given` is `[N]`, a split or `NOT_GIVEN`.
    Where a group holds given splits, its other clips are trained on only if all of those are.
    """
    positions = np.array([_position(name) for name in names])
    splits = np.where(positions < _VAL_FROM, TRAIN, np.where(positions < _TEST_FROM, VAL, TEST)).astype(np.int8)
    is_fixed = np.zeros(len(names), bool)
    for split in (TRAIN, VAL, TEST):  # the most held out of them counts
        groups = group[given == split]
        splits[groups], is_fixed[groups] = split, True
    by_corpus = _members(corpus, group, positions, names)
    is_large = np.zeros(len(names), bool)
    for members in by_corpus:
        is_large[members] |= len(members) >= _MIN_GROUPS
    splits[~is_large & ~is_fixed] = TRAIN
    for members in by_corpus:
        if len(members) >= _MIN_GROUPS:
            for split in (TRAIN, VAL, TEST):
                _ensure(split, members, splits, is_fixed)
    for members in _members(domain, group, positions, names):
        if (splits[members] == TRAIN).all():
            _ensure(VAL, members, splits, is_fixed)
    return np.where(given == NOT_GIVEN, splits[group], given).astype(np.int8)


def _members(key: np.ndarray, group: np.ndarray, positions: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    """For each value of `key`, in order, its groups by position."""
    pairs = np.unique(np.stack([key, group], axis=1), axis=0) if len(key) else np.zeros((0, 2), np.int64)
    members = []
    for value in range(int(key.max(initial=-1)) + 1):
        first, last = np.searchsorted(pairs[:, 0], [value, value + 1])
        groups = pairs[first:last, 1]
        members.append(groups[np.argsort(positions[groups], kind="stable")])
    return members


def _ensure(split: int, members: np.ndarray, splits: np.ndarray, is_fixed: np.ndarray) -> None:
    """Unless one is there already, move the group that lies nearest into `split`, from the split that has most."""
    held = np.bincount(splits[members], minlength=len(SPLITS))
    if held[split]:
        return
    richest = int(held.argmax())
    free = members[(splits[members] == richest) & ~is_fixed[members]]
    if len(free) and held[richest] > 1:
        moved = free[0] if split == TRAIN else free[-1]
        splits[moved], is_fixed[moved] = split, True


def _position(group: str) -> float:
    """Position of the group on a line from 0 to 1, by the hash of its name."""
    return int(hash_bytes(group.encode())[:12], 16) / 16**12
