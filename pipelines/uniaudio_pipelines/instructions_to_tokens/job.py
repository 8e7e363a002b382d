"""The job of the edge `instructions_to_tokens`: which clips, under which codec, on which kind of device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_bytes, numerics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio_pipelines.jobs import check_device, parent

CODE_VERSION = "2"
"""Goes up when the same clip and codec would give other codes; codes of another version are not taken over."""
_HASH_BITS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class InstructionsToTokens:
    """Encode every clip that the instructions name and that has no codes yet."""

    EDGE: ClassVar[str] = "instructions_to_tokens"
    WRITES: ClassVar[str] = "tokens"

    min_samples: int = 4_800
    """At 24 kHz (0.2 s, one reasoning frame); shorter clips are dropped as `too_short`."""
    clips_per_unit: int = 64
    """Mean number of annotated clips in a shard, at most; mixtures and noisy copies of them come on top."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    instructions_ref: str = "latest"
    codec_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        check_device(self.device, self.num_gpus)
        if self.clips_per_unit < 1 or self.min_samples < 1:
            raise UsageError(
                f"`clips_per_unit` and `min_samples` must be 1 or more, but are {self.clips_per_unit} and "
                f"{self.min_samples}."
            )
        instructions = parent(store, "instructions", "build-multitask-data", self.instructions_ref)
        codec = parent(store, "codec", "train-codec", self.codec_ref)
        annotated = store.version_with("annotated", instructions.parents["annotated"])
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={
                "instructions": instructions.content_id,
                "codec": codec.content_id,
                "annotated": annotated.content_id,
                "raw": annotated.parents["raw"],
            },
            parameters={"min_samples": self.min_samples, "clips_per_unit": self.clips_per_unit},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device),
            units=self.units(annotated),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def units(self, annotated: Manifest) -> list[str]:
        """From the manifest alone: planning reads no shard. A range without clips becomes an empty shard."""
        return [_unit(number) for number in range(1 << self._bits(annotated))]

    def clips_by_unit(self, store: Store, instructions: Manifest, annotated: Manifest) -> dict[str, list[str]]:
        """Unit -> its clip ids, sorted.

        A unit is a range of hashed clip ids, not of positions: a few new clips change the shards they fall into, and
        all others come out byte for byte as they are in the store, which therefore holds them once.
        """
        units: dict[str, list[str]] = {unit: [] for unit in self.units(annotated)}
        for clip in sorted(clips_of(store, instructions)):
            units[_unit(int(hash_bytes(clip.encode())[:8], 16) >> (_HASH_BITS - self._bits(annotated)))].append(clip)
        return units

    def _bits(self, annotated: Manifest) -> int:
        """Of the hash that name the unit."""
        return max(0, -(-annotated.num_rows // self.clips_per_unit) - 1).bit_length()


def _unit(number: int) -> str:
    return f"clips-{number:05d}"


def clips_of(store: Store, instructions: Manifest) -> set[str]:
    """Ids of the clips that segments name: what has to be encoded (parents of recipes only where they are named)."""
    found: set[str] = set()
    for column in _columns(store, instructions):
        segments = column.combine_chunks().flatten()
        found.update(pc.unique(pc.struct_field(segments, "clip_id")).to_pylist())
    return found - {""}


def _columns(store: Store, instructions: Manifest) -> Iterator[pa.ChunkedArray]:
    for table in store.tables(instructions, ["segments"]):
        if table.num_rows:
            yield table["segments"]
