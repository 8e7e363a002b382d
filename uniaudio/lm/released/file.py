"""Reads a torch file that a stranger wrote: tensors and plain containers, and never a class of theirs.

Trainers save more than weights (a `reporter`, an optimizer, a namespace of arguments), and pickle would import and call
whatever such an object names. These names are listed without running anything; either the file is refused, or every such
object becomes an empty stand-in of ours.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from uniaudio_schemas.errors import DataError

_NUM_NAMED = 3
_SYSTEM = ("os", "posix", "nt", "sys", "subprocess", "builtins")
"""A trainer's state names nothing of these; a file that does was made to do harm."""


_DEFAULTDICT = "collections.defaultdict"


class _Skipped:
    """Takes the place of any foreign object: accepts everything, keeps and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> "_Skipped":
        return self


def foreign_names(path: Path) -> list[str]:
    """`module.name` of every class or function that reading the file would need beyond tensors and containers."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except (ValueError, RuntimeError, OSError, pickle.UnpicklingError):
        return []
    return sorted(names)


def load_safely(path: Path, *, skip_objects: bool = False) -> Any:
    """What `torch.load` gives for a file of tensors; DataError that names the objects where there are others."""
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    foreign = foreign_names(path)
    blocked = [name for name in foreign if name.partition(".")[0] in _SYSTEM]
    if blocked:
        raise DataError(f"{path}: must hold no function of the system, but holds {_named(blocked)}; do not trust it.")
    if foreign and not skip_objects:
        raise DataError(
            f"{path}: must hold tensors and plain containers only, but also holds {_named(foreign)}; "
            "`--skip-objects` reads the tensors and leaves these out, running nothing of them."
        )
    # Torch's reader fills nothing but plain dictionaries, so a stand-in for a defaultdict must be one.
    stand_ins: list[Any] = [(_skipped_dict if name == _DEFAULTDICT else _stand_in(), name) for name in foreign]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: must hold tensors and plain containers, but cannot be read as such{_why(error)}"
        ) from error


def _stand_in() -> type[_Skipped]:
    return type("Skipped", (_Skipped,), {})


def _skipped_dict(*_: object) -> dict[object, object]:
    return {}


def _why(error: BaseException) -> str:
    """The line of torch's message that says what it met, not its advice to run the file."""
    _, separator, reason = str(error).partition("WeightsUnpickler error:")
    first = next((line.strip() for line in reason.splitlines() if line.strip()), "")
    return f": {first}" if separator and first else "."


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
