"""The job of the edge `instructions_to_tokens`: which codec, on which device. Plans from manifests and id columns alone."""

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from uniaudio_schemas.codec import CodecRow
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_json, numerics
from uniaudio_schemas.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store import Store

from uniaudio_pipelines.jobs import parent

CODE_VERSION = "1"
"""Goes up when the same clips and codec would give other codes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstructionsToTokens:
    """Encode the clips of instructions."""

    EDGE: ClassVar[str] = "instructions_to_tokens"
    WRITES: ClassVar[str] = "tokens"

    clips_per_shard: int = 64
    gpus_per_worker: float = 0.0
    """0 encodes on the CPU."""
    instructions_ref: str = "latest"
    codec_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        if self.clips_per_shard < 1:
            raise UsageError(f"`clips_per_shard` must be 1 or more, but is {self.clips_per_shard}.")
        instructions = parent(store, "instructions", "build-multitask-data", self.instructions_ref)
        codec = parent(store, "codec", "train-codec", self.codec_ref)
        wanted = wanted_clips(store, instructions)
        reused, held = self._reusable(store, codec, set(wanted))
        missing = {clip: corpus for clip, corpus in wanted.items() if clip not in held}
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"instructions": instructions.content_id, "codec": codec.content_id},
            parameters={},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=self.numerics,
            units=sorted(self.units(missing)),
            reused=reused,
        )

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_worker > 0 else "cpu"

    @property
    def numerics(self) -> str:
        return numerics(self.device)

    def units(self, missing: dict[str, str]) -> dict[str, list[str]]:
        """Unit name -> its clips; a name says the corpus and, by a hash, which clips."""
        by_corpus: dict[str, list[str]] = defaultdict(list)
        for clip, corpus in sorted(missing.items()):
            by_corpus[corpus].append(clip)
        units = {}
        for corpus, clips in sorted(by_corpus.items()):
            for start in range(0, len(clips), self.clips_per_shard):
                chosen = clips[start : start + self.clips_per_shard]
                units[f"{corpus}-{hash_json(chosen)[:12]}"] = chosen
        return units

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.gpus_per_worker}

    def _reusable(self, store: Store, codec: Manifest, wanted: set[str]) -> tuple[list[ShardInfo], set[str]]:
        """Committed shards of this codec and these numerics that hold wanted clips, and the clips they hold. No clip twice."""
        fingerprint = next(store.rows(codec, CodecRow)).codec_id
        reused: dict[str, ShardInfo] = {}
        held: set[str] = set()
        for version in store.versions(self.WRITES):
            if version.numerics != self.numerics or version.code_version != f"{self.EDGE}-{CODE_VERSION}":
                continue
            for shard in version.shards:
                if shard.sha256 in reused or store.shard_metadata(version, shard).get("codec_fingerprint") != fingerprint:
                    continue
                clips = set(store.table_of_shard(version, shard)["clip_id"].to_pylist())
                if clips & wanted and not clips & held:
                    reused[shard.sha256] = shard
                    held |= clips
        return sorted(reused.values(), key=lambda shard: (shard.unit, shard.sha256)), held


def wanted_clips(store: Store, instructions: Manifest) -> dict[str, str]:
    """Clip that a segment names -> corpus of the first instruction that names it."""
    wanted: dict[str, str] = {}
    table = store.read(instructions, ["corpus", "segments"])
    for corpus, segments in zip(table["corpus"].to_pylist(), table["segments"].to_pylist(), strict=True):
        for segment in segments:
            if segment["clip_id"]:
                wanted[segment["clip_id"]] = min(corpus, wanted.get(segment["clip_id"], corpus))
    return wanted
