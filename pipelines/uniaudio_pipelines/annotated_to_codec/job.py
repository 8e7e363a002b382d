"""The job of the edge `annotated_to_codec`: which size, which phases, how much audio. Light: no torch, no ray."""

from dataclasses import dataclass
from typing import Any, ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import DEFAULT_PHASES, codec_phase
from uniaudio_pipelines.jobs import parent

CODE_VERSION = "1"
"""Goes up when the same clips would train to other weights."""
UNIT = "codec"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedToCodec:
    """Train a codec, phase after phase."""

    EDGE: ClassVar[str] = "annotated_to_codec"
    WRITES: ClassVar[str] = "codec"

    size: str = "debug"
    """Preset of the codec and of its phases."""
    phases: tuple[str, ...] = DEFAULT_PHASES
    seed: int = 0
    max_train_s: float = 240.0
    """Audio of the train split that is used, spread over the domains."""
    max_held_out_s: float = 40.0
    max_clip_s: float = 4.0
    """Of a longer clip only its beginning is used."""
    num_workers: int = 1
    """Of Ray Train. Sums over 2 differ from sums over 1 in their last bits, so it is part of the plan."""
    gpus_per_worker: float = 0.0
    """0 trains on the CPU."""
    num_steps: int = 0
    """Steps of each phase; 0 keeps the preset's."""
    annotated_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        if self.num_workers < 1:
            raise UsageError(f"`num_workers` must be 1 or more, but is {self.num_workers}.")
        annotated = parent(store, "annotated", "annotate-corpus", self.annotated_ref)
        limits = {"max_train_s": self.max_train_s, "max_held_out_s": self.max_held_out_s, "max_clip_s": self.max_clip_s}
        described: dict[str, Any] = {**limits, "size": self.size, "seed": self.seed, "num_workers": self.num_workers}
        phases = [_plain(phase.to_dict()) for phase in self.codec_phases()]
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"annotated": annotated.content_id},
            parameters={**described, "phases": phases},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device),
            units=[UNIT],
        )

    def codec_phases(self) -> list[CodecPhase]:
        """UsageError for a phase that this version lacks."""
        from dataclasses import replace

        phases = [codec_phase(name, self.size) for name in self.phases]
        if not self.num_steps:
            return phases
        return [
            replace(phase, num_steps=self.num_steps, num_unquantized_steps=min(phase.num_unquantized_steps, self.num_steps // 2))
            for phase in phases
        ]

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_worker > 0 else "cpu"

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.gpus_per_worker}


def _plain(value: object) -> Any:
    """Through JSON types only: tuples would not survive the manifest."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
