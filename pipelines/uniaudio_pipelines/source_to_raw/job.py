"""The job of the edge `source_to_raw`: which folder, and how it is cut into units."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import PARAMETER, digest, forgotten_clips
from uniaudio_schemas.store.manifest import Plan, ShardInfo

from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.source_to_raw import listing
from uniaudio_pipelines.source_to_raw.cards import CHANNELS
from uniaudio_pipelines.source_to_raw.entries import Policy

CODE_VERSION = "6"
"""Goes up when the same source would give other rows."""
_SCHEMA_VERSION = 2
_IN_THE_LISTING = ("source", "ref", "follow_links", "channels")
"""Neither the folder's place nor the ref is part of what a version holds; the other two decide what its listing says."""
_PREFIX = 16
"""Digits of a clip's id that are those of its file's sha256."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceToRaw:
    """Read a folder of audio and text files into `raw`."""

    EDGE: ClassVar[str] = "source_to_raw"
    WRITES: ClassVar[str] = "raw"

    source: str = "data/source"
    """Folder; its top folders are the corpora."""
    min_s: float = 0.1
    """Shorter audio is dropped as `too_short`."""
    max_files_per_shard: int = 64
    """Files whose clips share a shard, at most."""
    max_bytes_per_shard: int = 256 * 2**20
    """Bytes of source files whose clips share a shard, at most; a larger file has a shard of its own."""
    follow_links: bool = False
    """Whether links that leave the source are followed; a corpus card may say otherwise."""
    channels: str = "mean"
    """What a clip of several channels is, where no card says it: `mean` keeps them (they are mixed where one is heard), `left` and
    `right` keep one, `split` makes a clip of each."""
    ref: str = "latest"

    def policy(self) -> Policy:
        if self.max_files_per_shard < 1:
            raise UsageError(f"`max_files_per_shard` must be 1 or more, but is {self.max_files_per_shard}.")
        if self.channels not in CHANNELS:
            raise UsageError(f"`channels` must be {' or '.join(CHANNELS)}, but is {self.channels!r}.")
        return Policy(
            follow_links=self.follow_links,
            channels=self.channels,
            max_files=self.max_files_per_shard,
            max_bytes=self.max_bytes_per_shard,
        )

    def plan(self, store: Store) -> Plan:
        from uniaudio.audio.read import audio_suffixes

        source_listing = listing.list_source(self.source, cache_folder(store), audio_suffixes(), self.policy())
        if not source_listing.has_usable():
            raise UsageError(f"`source` must hold audio or text files, but {self.source} has none that can be used.")
        listing.share(source_listing, store)
        parameters = {name: value for name, value in asdict(self).items() if name not in _IN_THE_LISTING}
        forgotten, units_of_them = self.forgotten(store, source_listing)
        if forgotten:
            parameters[PARAMETER] = digest(forgotten)
        plan = Plan(
            kind=self.WRITES,
            schema_version=_SCHEMA_VERSION,
            parents={},
            parameters={**parameters, "listing": source_listing.name},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
        )
        units = source_listing.units()
        made = _made_before(store, plan, set(units) - units_of_them)
        return replace(
            plan,
            units=[unit for unit in units if unit not in made],
            reused=[made[unit] for unit in units if unit in made],
        )

    def forgotten(self, store: Store, found: listing.Listing) -> tuple[frozenset[str], frozenset[str]]:
        """Ids of clips of the source's files that were forgotten, and stay so; and the units that hold such files."""
        clips = forgotten_clips(store)
        starts, of_units = found.holding(frozenset(clip[:_PREFIX] for clip in clips))
        return frozenset(clip for clip in clips if clip[:_PREFIX] in starts), of_units

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}

    def absolute(self) -> Path:
        return Path(self.source).resolve()


def _made_before(store: Store, plan: Plan, units: set[str]) -> dict[str, ShardInfo]:
    """Unit -> its shard in an older version that differs in nothing but its listing: a unit's name says what it holds."""
    shards: dict[str, ShardInfo] = {}
    for version in store.versions(plan.kind):
        if version.plan_id == plan.plan_id:
            return {}
        mine, its = (
            {name: value for name, value in one.parameters.items() if name not in ("listing", PARAMETER)}
            for one in (plan, version)
        )
        same = (version.schema_version, version.code_version) == (plan.schema_version, plan.code_version)
        if same and mine == its:
            shards |= {shard.unit: shard for shard in version.shards if shard.unit in units}
    return shards
