"""Plans, manifests, and the two ids of a version.

`plan_id`     hash of parents, parameters, code version and numerics: known beforehand, it decides that there is nothing to do.
`content_id`  hash of the rows in id order: it proves equality, whatever the shards look like.

A manifest holds no time, no host and no path of a machine, so that a disturbed run and an undisturbed one write the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.names import check_name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a version will be made of, and in which units."""

    kind: str
    schema_version: int
    parents: dict[str, str]
    """Name (usually the kind) -> content id."""
    parameters: dict[str, Any]
    """JSON values."""
    code_version: str
    numerics: str = ""
    units: list[str] = field(default_factory=list)
    """Units of commit and retry, each a shard."""
    reused: list["ShardInfo"] = field(default_factory=list)
    """Shards of older versions that this one names again instead of making them."""

    def __post_init__(self) -> None:
        check_name("kind", self.kind)
        for unit in self.units:
            check_name("unit", unit)
        if len(set(self.units)) != len(self.units):
            raise UsageError(f"`units` of a plan of {self.kind} must be distinct, but some are there twice.")

    @property
    def plan_id(self) -> str:
        named = (self.kind, self.schema_version, self.parents, self.parameters, self.code_version, self.numerics)
        return short(hash_json(list(named)))


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    unit: str
    sha256: str
    """Of the Arrow file, which is its name."""
    num_rows: int
    num_bytes: int
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> rows dropped while this shard was made."""
    dropped_sha256: str = ""
    """Shard of kind `dropped` with those rows; empty where there are none."""
    statistics: dict[str, float] = field(default_factory=dict)
    blobs: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One immutable version of one kind."""

    kind: str
    schema_version: int
    plan_id: str
    content_id: str
    parents: dict[str, str]
    parameters: dict[str, Any]
    code_version: str
    numerics: str
    shards: list[ShardInfo]
    """In unit order."""

    @property
    def num_rows(self) -> int:
        return sum(shard.num_rows for shard in self.shards)

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> rows."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.dropped)
        return dict(sorted(total.items()))

    @property
    def statistics(self) -> dict[str, float]:
        """Sums over shards."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.statistics)  # type: ignore[arg-type]
        return dict(sorted(total.items()))

    def to_json(self) -> str:
        return canonical_json(asdict(self)) + "\n"


def manifest_from_json(text: str, source: str) -> Manifest:
    """The inverse of `to_json`. DataError that names `source` where the text is not a manifest."""

    try:
        values = json.loads(text)
        shards = [ShardInfo(**shard) for shard in values.pop("shards")]
        return Manifest(shards=shards, **values)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{source}: not a manifest ({error}).") from error


def content_id(tables: Iterable[pa.Table], id_field: str) -> str:
    """Hash over every row's hash in the order of ids: shard layout, batch sizes and compression do not enter.

    Memory: 48 bytes a row. DataError where an id is there twice.
    """
    digests: list[tuple[str, bytes]] = []
    for table in tables:
        schema_hash = str([(item.name, str(item.type)) for item in table.schema]).encode()
        for batch in table.to_batches(max_chunksize=256):
            ids = batch.column(id_field).to_pylist()
            for index, row_id in enumerate(ids):
                row = batch.slice(index, 1).to_pylist()[0]
                digests.append((row_id, hashlib.sha256(schema_hash + json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).digest()[:16]))
    digests.sort()
    for (left, _), (right, _) in zip(digests, digests[1:], strict=False):
        if left == right:
            raise DataError(f"`{id_field}` must be unique in a version, but {left} is there twice.")
    total = hashlib.sha256()
    for _, digest in digests:
        total.update(digest)
    return short(total.hexdigest())
