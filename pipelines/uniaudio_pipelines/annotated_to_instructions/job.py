"""The job of the edge `annotated_to_instructions`: which share of the clips goes into derived examples, and how long one
may be."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio_pipelines.jobs import parent

CODE_VERSION = "3"
"""Goes up when the same annotations would give other rows."""
_SHARES = ("separation_share", "denoise_share", "piece_share", "few_shot_share")


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedToInstructions:
    """Build the examples of every task."""

    EDGE: ClassVar[str] = "annotated_to_instructions"
    WRITES: ClassVar[str] = "instructions"

    seed: int = 0
    max_positions: int = 1024
    """Longer examples of tasks are dropped as `too_long`: the context of stages 1 to 3."""
    max_sentence_positions: int = 1536
    """Of auditory sentences and few-shot examples: the context of stage 4 at the smallest size."""
    min_mos: float = 0.0
    """Speech whose DNSMOS is lower is no target of generation."""
    separation_share: float = 0.25
    """Of speech clips that are mixed with one of another speaker."""
    max_mix_db: float = 5.0
    """Most that one speaker of a mixture is louder than the other."""
    denoise_share: float = 0.2
    """Of speech clips that get a noisy copy."""
    piece_share: float = 0.25
    """Of whole recordings that are cut into pieces for a sentence."""
    few_shot_share: float = 0.05
    """Of speech clips that are the question behind solved examples: to be enhanced, and as often another voice's words."""
    annotated_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"`{name}` must lie in 0 … 1, but is {getattr(self, name)}.")
        for name in ("max_positions", "max_sentence_positions"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")
        annotated = parent(store, "annotated", "annotate-corpus", self.annotated_ref)
        parameters = {name: value for name, value in asdict(self).items() if name not in ("ref", "annotated_ref")}
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"annotated": annotated.content_id},
            parameters=parameters,
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=sorted({shard.unit for shard in annotated.shards}),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}
