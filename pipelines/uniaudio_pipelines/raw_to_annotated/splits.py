"""Which split a group of clips is in: a function of the group's name alone, but no corpus is left without a held-out
group.

Names are hashed, so that a new clip moves no other clip; the exception is a corpus whose hashes put nothing in `val`
or `test`.
"""

from collections import Counter
from collections.abc import Iterable

from uniaudio_schemas.fingerprint import hash_bytes

TRAIN, VAL, TEST = "train", "val", "test"
_VAL_FROM, _TEST_FROM = 0.8, 0.9
_MIN_GROUPS = 3
"""A corpus with fewer groups keeps them where the hash puts them."""


def assign_splits(groups: Iterable[tuple[str, str]]) -> dict[str, str]:
    """(corpus, group) of every clip -> group -> split. A group in two corpora is in one split all the same."""
    by_corpus: dict[str, set[str]] = {}
    for corpus, group in groups:
        by_corpus.setdefault(corpus, set()).add(group)
    splits = {group: _by_hash(group) for members in by_corpus.values() for group in members}
    fixed: set[str] = set()
    for corpus in sorted(by_corpus):
        members = sorted(by_corpus[corpus], key=lambda group: (_position(group), group))
        if len(members) < _MIN_GROUPS:
            continue
        for split in (TRAIN, VAL, TEST):
            _ensure(split, members, splits, fixed)
    return splits


def _ensure(split: str, members: list[str], splits: dict[str, str], fixed: set[str]) -> None:
    """Unless one is there already, move the group that lies nearest into `split`, from the split that has most."""
    held = Counter(splits[group] for group in members)
    if held[split]:
        return
    richest = max((TRAIN, VAL, TEST), key=lambda name: held[name])
    free = [group for group in members if splits[group] == richest and group not in fixed]
    if free and held[richest] > 1:
        moved = free[0] if split == TRAIN else free[-1]
        splits[moved] = split
        fixed.add(moved)


def _by_hash(group: str) -> str:
    position = _position(group)
    return TRAIN if position < _VAL_FROM else VAL if position < _TEST_FROM else TEST


def _position(group: str) -> float:
    """Of the name on a line from 0 to 1."""
    return int(hash_bytes(group.encode())[:12], 16) / 16**12
