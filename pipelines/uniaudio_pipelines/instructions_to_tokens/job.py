"""The job of the edge `instructions_to_tokens`: which clips, under which codec, on which kind of device."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio_pipelines.jobs import cache_folder, check_device, parent
from uniaudio_pipelines.running.hashed import ranges_of

CODE_VERSION = "2"
"""Goes up when the same clip and codec would give other codes; codes of another version are not taken over."""
DTYPES = ("float32", "bfloat16")
CLIPS_PER_UNIT, DEBUG_CLIPS_PER_UNIT = 8_192, 64
BYTES_PER_SECOND = 280
"""Bytes of the codes for one second of audio: 17.5 frames of eight int16."""
MAX_UNIT_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class InstructionsToTokens:
    """Encode every clip that the instructions name and that has no codes yet."""

    EDGE: ClassVar[str] = "instructions_to_tokens"
    WRITES: ClassVar[str] = "tokens"

    min_samples: int = 4_800
    """Least length of a clip at 24 kHz (0.2 s, one reasoning frame); shorter clips are dropped as `too_short`."""
    clips_per_unit: int = 0
    """Mean number of annotated clips in a shard, at most, and fewer where their codes would fill 64 MiB; mixtures and noisy copies
    of them come on top. 0: 8,192, or 64 where the codec is of size debug, whose corpora are small."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    dtype: str = "float32"
    """`float32`, or `bfloat16`: products of the encoders in half the bits, faster on a GPU and other codes."""
    compiled: bool = False
    """Whether torch compiles the encoders' layers for each length of a batch: faster where there is much to encode; other codes."""
    decode_threads: int = 2
    """Threads of a worker that make audio ahead of its encoder."""
    instructions_ref: str = "latest"
    codec_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        check_device(self.device, self.num_gpus)
        if self.clips_per_unit < 0 or min(self.min_samples, self.decode_threads) < 1:
            raise UsageError(
                f"`clips_per_unit` must be 0 or more, `min_samples` and `decode_threads` 1 or more, but they are "
                f"{self.clips_per_unit}, {self.min_samples} and {self.decode_threads}."
            )
        if self.dtype not in DTYPES:
            raise UsageError(f"`dtype` must be one of {', '.join(DTYPES)}, but is {self.dtype!r}.")
        instructions = parent(store, "instructions", "build-multitask-data", self.instructions_ref)
        codec = parent(store, "codec", "train-codec", self.codec_ref)
        annotated = store.version_with("annotated", instructions.parents["annotated"])
        is_debug = codec.parameters.get("config", {}).get("size") == "debug"
        clips_per_unit = self.clips_per_unit or (DEBUG_CLIPS_PER_UNIT if is_debug else CLIPS_PER_UNIT)
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={
                "instructions": instructions.content_id,
                "codec": codec.content_id,
                "annotated": annotated.content_id,
                "raw": annotated.parents["raw"],
            },
            parameters={"min_samples": self.min_samples, "clips_per_unit": clips_per_unit},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=self.numerics(),
            units=[part.unit for part in ranges_of(_unit_bits(annotated, clips_per_unit))],
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def numerics(self) -> str:
        """Name of the numerics of this machine."""
        return numerics(self.device, f"{self.dtype}-compiled" if self.compiled else self.dtype)

    def metadata(self, plan: Plan, codec_id: str) -> dict[str, str]:
        """What stands on each shard; codes are taken over from shards that say all of it."""
        return {"codec_fingerprint": codec_id, "numerics": plan.numerics, "code_version": plan.code_version}

    def folder(self, store: Store, plan: Plan) -> Path:
        """Where the workers of one machine keep what they share and what is half done."""
        return cache_folder(store) / self.EDGE / plan.plan_id


def unit_bits(plan: Plan) -> int:
    """A unit is one of 2^bits ranges of hashed clip ids."""
    return (len(plan.units) - 1).bit_length()


def _unit_bits(annotated: Manifest, clips_per_unit: int) -> int:
    """Ranges, not positions: a few new clips change the shards they fall into, and all others come out byte for byte as they are in
    the store, which therefore holds them once.

    From the manifest alone: planning reads no shard. A range without clips becomes an empty shard.
    """
    num_bytes = annotated.statistics.get("audio_s", 0.0) * BYTES_PER_SECOND
    num_units = max(-(-annotated.num_rows // clips_per_unit), -(-int(num_bytes) // MAX_UNIT_BYTES), 1)
    return (num_units - 1).bit_length()
