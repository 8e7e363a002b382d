"""Which split a group of clips is in: a function of the group's name alone, but neither a corpus nor a domain is left
without a held-out group where it has one to spare.

Names are hashed, so that a new clip moves no other clip. The exceptions: a corpus whose hashes leave a split empty; a
corpus of few groups, which is trained on; and a domain that these would leave without anything held out.
"""

import itertools
from collections import Counter
from collections.abc import Iterable

from uniaudio_schemas.fingerprint import hash_bytes

TRAIN, VAL, TEST = "train", "val", "test"
_VAL_FROM, _TEST_FROM = 0.8, 0.9
_MIN_GROUPS = 3
"""A corpus with fewer groups is trained on: the only voice of a corpus is worth more there."""


def assign_splits(clips: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """(corpus, group, domain) of every clip -> group -> split. A group in two corpora is in one split all the same."""
    by_corpus: dict[str, set[str]] = {}
    by_domain: dict[str, set[str]] = {}
    for corpus, group, domain in clips:
        by_corpus.setdefault(corpus, set()).add(group)
        by_domain.setdefault(domain, set()).add(group)
    large = {corpus: _in_order(members) for corpus, members in by_corpus.items() if len(members) >= _MIN_GROUPS}
    splits = dict.fromkeys(itertools.chain(*by_corpus.values()), TRAIN)
    splits |= {group: _by_hash(group) for members in large.values() for group in members}
    fixed: set[str] = set()
    for corpus in sorted(large):
        for split in (TRAIN, VAL, TEST):
            _ensure(split, large[corpus], splits, fixed)
    for domain in sorted(by_domain):
        members = _in_order(by_domain[domain])
        if all(splits[group] == TRAIN for group in members):
            _ensure(VAL, members, splits, fixed)
    return splits


def _in_order(groups: Iterable[str]) -> list[str]:
    return sorted(groups, key=lambda group: (_position(group), group))


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
