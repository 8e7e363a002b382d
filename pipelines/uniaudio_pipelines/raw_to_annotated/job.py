"""The job of the edge `raw_to_annotated`: which annotators, how long a clip is, how much of each domain."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio_pipelines.jobs import check_device, parent
from uniaudio_pipelines.raw_to_annotated.annotators import table

CODE_VERSION = "3"
"""Goes up when the same raw clips and annotators would give other rows."""
_ALL = tuple(table.ANNOTATORS)
NOT_OF_THE_VERSION = ("models", "ref", "raw_ref", "num_gpus")
"""Fields that change nothing of what the version holds."""
_POSITIVE = ("max_speech_clip_s", "max_sound_clip_s", "max_passage_characters")
_NOT_NEGATIVE = (
    "max_speech_s", "max_sound_s", "max_music_s", "max_unknown_s", "max_text_passages", "max_pieces_per_clip",
    "max_passages_per_document", "min_clip_s",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class RawToAnnotated:
    """Cut the raw clips and say what models and measurements find in them."""

    EDGE: ClassVar[str] = "raw_to_annotated"
    WRITES: ClassVar[str] = "annotated"

    models: str = "data/models"
    """Folder of prepared models."""
    annotators: tuple[str, ...] = _ALL
    """Names from the table; leaving one out leaves its columns empty."""
    max_speech_clip_s: float = 15.0
    """Longer speech is cut at pauses."""
    max_sound_clip_s: float = 10.0
    """Longer sound and music are cut into pieces of this length."""
    min_clip_s: float = 0.2
    """Shorter clips are dropped as `too_short`."""
    max_pieces_per_clip: int = 0
    """Of sound and music, spread over the recording; 0 takes all."""
    max_passage_characters: int = 600
    max_passages_per_document: int = 0
    max_speech_s: float = 0.0
    """Limit of a whole domain, in seconds, spread over its corpora; 0 takes all. What is left out is dropped as
    `over_limit`."""
    max_sound_s: float = 0.0
    max_music_s: float = 0.0
    max_unknown_s: float = 0.0
    """Of clips whose domain the source does not say."""
    max_text_passages: int = 0
    device: str = "cpu"
    """`cpu` or `cuda`: of the transcripts."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    raw_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        self._check()
        raw = parent(store, "raw", "ingest-corpus", self.raw_ref)
        parameters = {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_VERSION}
        return Plan(
            kind=self.WRITES,
            schema_version=2,
            parents={"raw": raw.content_id},
            parameters={**parameters, "annotators": table.versions(self.annotators)},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=sorted(shard.unit for shard in raw.shards),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def limits_s(self) -> dict[str, float]:
        """Domain -> seconds (passages for text); 0 for no limit."""
        return {
            "speech": self.max_speech_s,
            "sound": self.max_sound_s,
            "music": self.max_music_s,
            "unknown": self.max_unknown_s,
            "text": float(self.max_text_passages),
        }

    def _check(self) -> None:
        check_device(self.device, self.num_gpus)
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise UsageError(f"`{name}` must be positive, but is {getattr(self, name)}.")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise UsageError(f"`{name}` must be 0 or more, but is {getattr(self, name)}.")
