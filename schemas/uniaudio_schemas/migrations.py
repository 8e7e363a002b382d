"""Pure functions from one released version of a kind to the next; readers chain them up to the newest."""

from collections.abc import Callable

import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.record import SCHEMAS

Migration = Callable[[pa.Table], pa.Table]
MIGRATIONS: dict[tuple[str, int], Migration] = {}


def migration(kind: str, *, from_version: int) -> Callable[[Migration], Migration]:
    """Register a function that turns a table of `kind` at `from_version` into one at `from_version + 1`."""

    def register(function: Migration) -> Migration:
        if (kind, from_version) in MIGRATIONS:
            raise TypeError(f"{kind} has two migrations from version {from_version}.")
        MIGRATIONS[(kind, from_version)] = function
        return function

    return register


def newest_version(kind: str) -> int:
    """DataError for a kind that is not registered."""
    versions = [version for name, version in SCHEMAS if name == kind]
    if not versions:
        raise DataError(f"`kind` must be one of {sorted({name for name, _ in SCHEMAS})}, but is {kind}.")
    return max(versions)


def migrate(table: pa.Table, kind: str, version: int) -> pa.Table:
    """A table of `kind` at `version` -> at the newest version. DataError where a newer program wrote it, or a step is missing."""
    newest = newest_version(kind)
    if version > newest:
        raise DataError(f"{kind} version {version} is newer than this program, which reads up to version {newest}.")
    for step in range(version, newest):
        if (kind, step) not in MIGRATIONS:
            raise DataError(f"{kind} has no migration from version {step} to {step + 1}.")
        table = MIGRATIONS[(kind, step)](table)
    return table
