"""Which split a level, a track or a title of a corpus is in: a tenth of them is tested on, a tenth is chosen by, and none is empty where there
are three or more."""

from collections.abc import Iterable

from uniaudio_schemas.fingerprint import hash_bytes

_SHARE = 0.1
_MIN_GROUPS = 3


def shares(corpus: str, groups: Iterable[str]) -> dict[str, str]:
    """Group -> `train`, `val` or `test`. By the hashes of the names: the same on every machine, and of no order that a package has."""
    names = sorted(set(groups), key=lambda name: hash_bytes(f"{corpus}/{name}".encode()))
    num_held_out = max(1, round(_SHARE * len(names))) if len(names) >= _MIN_GROUPS else 0
    return {
        name: "test" if at < num_held_out else "val" if at < 2 * num_held_out else "train"
        for at, name in enumerate(names)
    }
