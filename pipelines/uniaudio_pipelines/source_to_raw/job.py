"""The job of the edge `source_to_raw`: which folder, and how it is cut into units."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.forgotten import PARAMETER, digest, forgotten_clips
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.source_to_raw import listing

CODE_VERSION = "2"
"""Goes up when the same source would give other rows."""


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
    max_bytes_per_shard: int = 256 * 2**20
    """Of source files; a larger file has a shard of its own."""
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        from uniaudio.audio.read import audio_suffixes

        if self.max_files_per_shard < 1:
            raise UsageError(f"`max_files_per_shard` must be 1 or more, but is {self.max_files_per_shard}.")
        cache = cache_folder(store)
        entries = listing.list_source(self.source, cache, audio_suffixes())
        if not listing.usable(entries):
            raise UsageError(f"`source` must hold audio or text files, but {self.source} has none that can be used.")
        # Neither the folder's place nor the ref is part of what the version holds.
        parameters = {name: value for name, value in asdict(self).items() if name not in ("source", "ref")}
        if forgotten := self.forgotten(store, entries):
            parameters[PARAMETER] = digest(forgotten)
        return Plan(
            kind=self.WRITES,
            schema_version=2,
            parents={},
            parameters={**parameters, "listing": listing.save_listing(entries, cache)},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=list(self.units(entries)),
        )

    def units(self, entries: list[listing.Entry]) -> dict[str, list[listing.Entry]]:
        """Unit name -> the files it reads."""
        return listing.group(entries, self.max_files_per_shard, self.max_bytes_per_shard)

    def forgotten(self, store: Store, entries: list[listing.Entry]) -> frozenset[str]:
        """Ids of the source's clips that were forgotten, and stay so."""
        return forgotten_clips(store) & {entry.sha256[:32] for entry in listing.usable(entries)}

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}

    def absolute(self) -> Path:
        return Path(self.source).resolve()
