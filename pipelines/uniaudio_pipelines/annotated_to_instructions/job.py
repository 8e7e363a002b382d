"""The job of the edge `annotated_to_instructions`."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio_pipelines.jobs import parent

CODE_VERSION = "1"
"""Goes up when the same annotations would give other rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedToInstructions:
    """Build the examples of every task."""

    EDGE: ClassVar[str] = "annotated_to_instructions"
    WRITES: ClassVar[str] = "instructions"

    seed: int = 0
    min_mos: float = 0.0
    """Speech whose DNSMOS is lower is not a target of generation."""
    mix_snr_db: float = 0.0
    """Of the first speaker over the second in mixtures for separation."""
    max_sentence_clips: int = 2
    """Clips of an auditory sentence, at most 4 where text lies between them."""
    annotated_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        if not 2 <= self.max_sentence_clips <= 4:
            raise UsageError(f"`max_sentence_clips` must be 2 to 4, but is {self.max_sentence_clips}.")
        annotated = parent(store, "annotated", "annotate-corpus", self.annotated_ref)
        parameters = {name: value for name, value in asdict(self).items() if name not in ("ref", "annotated_ref")}
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"annotated": annotated.content_id},
            parameters=parameters,
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=sorted(shard.unit for shard in annotated.shards),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}
