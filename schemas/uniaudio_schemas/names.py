"""Which names may become a file name in a store: units, refs, kinds, hashes. Everything else is refused."""

import re

from uniaudio_schemas.errors import UsageError

RESERVED = frozenset({"blobs", "runs", "forgotten", "cache", "train"})
"""Top folders of a store that are not kinds; `cache` and `train` are the pipelines' own."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HEX = re.compile(r"[0-9a-f]+")
_MAX_NAME_BYTES = 180
"""File names end at 255 bytes on the usual filesystems; a suffix and the temporary name's prefix need room."""


def check_kind(kind: str) -> str:
    if not _KIND.fullmatch(kind) or kind in RESERVED:
        raise UsageError(f"`kind` must be a lower-case word that is not one of {sorted(RESERVED)}, but is {kind!r}.")
    return kind


def check_name(name: str, what: str) -> str:
    """A unit, a ref or a run id: one file name, no path. Letters of any script and spaces are fine."""
    # isprintable() is false for control characters, lone surrogates and NUL.
    fits = name.isprintable() and name == name.strip() and 0 < len(name.encode()) <= _MAX_NAME_BYTES
    if not fits or name.startswith(".") or "/" in name or "\\" in name:
        raise UsageError(
            f"`{what}` must be a file name of at most {_MAX_NAME_BYTES} bytes without `/` and `\\` that does not start "
            f"with a dot, but is {name!r}."
        )
    return name


def is_hash(value: str, length: int) -> bool:
    return len(value) == length and bool(_HEX.fullmatch(value))


def check_hash(value: str, length: int, what: str) -> str:
    if not is_hash(value, length):
        raise UsageError(f"`{what}` must be {length} lower-case hex digits, but is {value!r}.")
    return value
