"""Plans (what a version will be made from) and manifests (what it holds). Both are plain values with one canonical JSON.

A manifest holds no time, host, owner or attempt: a run that was killed nine times writes the same bytes as one that was not.
"""

from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.names import check_kind, check_name
from uniaudio_schemas.plain import from_plain, json_object

FORMAT = 1
"""Format of the manifest file itself."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides a version, known before any work: equal plans make equal versions."""

    kind: str
    schema_version: int
    parents: dict[str, str]
    """Name of the parent -> its content id."""
    parameters: dict[str, Any]
    """JSON values."""
    code_version: str
    numerics: str = ""
    units: list[str] = field(default_factory=list)
    """Shards to make. How rows are cut into shards follows from the rest, so it is no part of the id."""
    reused: list["ShardInfo"] = field(default_factory=list)
    """Shards of older versions that this one names again; no part of the id either."""

    def __post_init__(self) -> None:
        check_kind(self.kind)
        for unit in self.units:
            check_name(unit, "unit")
        twice = [unit for unit, count in Counter(self.units).items() if count > 1]
        if twice:
            raise UsageError(f"`units` must name each unit once, but {twice[0]!r} is there twice.")
        canonical_json(self.parameters)

    @cached_property
    def plan_id(self) -> str:
        """32 hex digits."""
        deciding = ("kind", "schema_version", "parents", "parameters", "code_version", "numerics")
        return short(hash_json({name: getattr(self, name) for name in deciding}))


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One shard of a version."""

    unit: str
    sha256: str
    num_rows: int
    num_bytes: int
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows this unit dropped, by reason."""
    dropped_sha256: str = ""
    """The shard of kind `dropped` with those rows; empty where there are none."""
    statistics: dict[str, float] = field(default_factory=dict)
    blobs: list[str] = field(default_factory=list)
    """sha256 of each blob that the rows name."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One immutable version."""

    kind: str
    schema_version: int
    plan_id: str
    content_id: str
    """Hash of the rows in id order: equal for equal rows, however they are cut into shards."""
    parents: dict[str, str]
    parameters: dict[str, Any]
    code_version: str
    numerics: str
    shards: list[ShardInfo]
    """Shards, by unit."""

    @property
    def num_rows(self) -> int:
        return sum(shard.num_rows for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Bytes of the shards, without the blobs."""
        return sum(shard.num_bytes for shard in self.shards)

    @property
    def dropped(self) -> dict[str, int]:
        """Dropped rows by reason."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.dropped)
        return dict(sorted(total.items()))

    @property
    def dropped_shards(self) -> list[ShardInfo]:
        """The shards whose unit dropped something."""
        return [shard for shard in self.shards if shard.dropped_sha256]

    @property
    def statistics(self) -> dict[str, float]:
        """Sums over the shards."""
        names = sorted({name for shard in self.shards for name in shard.statistics})
        return {name: sum(shard.statistics.get(name, 0.0) for shard in self.shards) for name in names}

    @property
    def blobs(self) -> list[str]:
        return sorted({blob for shard in self.shards for blob in shard.blobs})

    def to_json(self) -> str:
        totals = {"num_rows": self.num_rows, "dropped": self.dropped}
        return canonical_json({**asdict(self), "format": FORMAT, "totals": totals}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "manifest") -> "Manifest":
        """The inverse of `to_json`; a text that is none is a `DataError` that names `where`."""
        values = json_object(text, where)
        version = values.pop("format", None)
        if version != FORMAT:
            raise DataError(f"{where}: `format` must be {FORMAT}, but is {version!r}.")
        values.pop("totals", None)
        return from_plain(cls, values, where)
