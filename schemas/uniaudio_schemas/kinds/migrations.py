"""From old schema versions to the newest: pure functions table -> table, one per version, applied in a chain by every reader.

@migration("tokens", from_version=1)
def add_language(table: pa.Table) -> pa.Table:
    return table.append_column("language", pa.nulls(len(table), pa.string()))
"""

from collections.abc import Callable

import pyarrow as pa

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.record import SCHEMAS, Schema

Migration = Callable[[pa.Table], pa.Table]

MIGRATIONS: dict[tuple[str, int], Migration] = {}
"""(kind, from version) -> to the next version."""


def migration(kind: str, from_version: int) -> Callable[[Migration], Migration]:
    def register(function: Migration) -> Migration:
        if (kind, from_version) in MIGRATIONS:
            raise UsageError(f"`from_version` must be new: {kind} v{from_version} has a migration already.")
        MIGRATIONS[(kind, from_version)] = function
        return function

    return register


def newest(kind: str) -> Schema:
    versions = [version for known_kind, version in SCHEMAS if known_kind == kind]
    if not versions:
        kinds = ", ".join(sorted({known_kind for known_kind, _ in SCHEMAS})) or "none; import its module"
        raise UsageError(f"`kind` must be one of the known kinds ({kinds}), but is {kind!r}.")
    return SCHEMAS[(kind, max(versions))]


def schema_at(kind: str, version: int) -> Schema:
    if (kind, version) not in SCHEMAS:
        raise DataError(f"{kind} v{version} is not known here; the newest is v{newest(kind).version}. Update uniaudio.")
    return SCHEMAS[(kind, version)]


def migrate(table: pa.Table, kind: str, version: int, where: str = "table") -> pa.Table:
    """`table` of `version` at the newest version; what else stands in its metadata is kept."""
    target = newest(kind)
    schema_at(kind, version)
    metadata = dict(table.schema.metadata or {})
    for step in range(version, target.version):
        if (kind, step) not in MIGRATIONS:
            raise DataError(f"{where}: {kind} v{step} has no migration to v{step + 1}.")
        table = MIGRATIONS[(kind, step)](table)
    return conform(table, target, where, metadata)


def conform(table: pa.Table, target: Schema, where: str, metadata: dict[bytes, bytes] | None = None) -> pa.Table:
    """`table` with exactly the schema of `target`; a missing or wrong column is a `DataError`. Copies nothing when it fits."""
    metadata = {**(metadata or {}), **target.arrow.metadata}
    if table.schema.equals(target.arrow):
        return table.replace_schema_metadata(metadata)
    names = table.schema.names
    missing = [name for name in target.arrow.names if name not in names]
    extra = [name for name in names if name not in target.arrow.names]
    if missing or extra or len(set(names)) != len(names):
        raise DataError(
            f"{where}: must have the columns of {target.kind} v{target.version}, but lacks {missing}, has too much {extra}."
        )
    try:
        return table.select(target.arrow.names).cast(target.arrow.with_metadata(metadata))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(f"{where}: does not fit {target.kind} v{target.version}: {error}") from error
