"""The jobs of the edge `raw_to_annotated`: which annotators, how long a clip is, how much of each domain, what may be trained on.

`RawToAnnotated` is what a user runs; it first runs `RawToCuts`, whose versions hold what is said of each clip alone and are taken over
clip by clip by the next run.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo

from uniaudio.text.plausibility import TranscriptPolicy
from uniaudio_pipelines.copies import CopySearch
from uniaudio_pipelines.jobs import check_device, parent
from uniaudio_pipelines.raw_to_annotated.annotators import table

CUTS_CODE_VERSION = "3"
"""Goes up when the same raw clips and annotators would give other cuts; nothing of older cuts is taken over then."""
CODE_VERSION = "7"
"""Goes up when the same cuts would give other rows of `annotated`."""
NOT_OF_THE_VERSION = ("models", "ref", "raw_ref", "num_gpus")
"""Fields that change nothing of what the version holds."""
OF_THE_CORPUS = ("text_policy", "copies", "min_language_speech_s", "min_language_probability")
"""Fields that the cuts do not depend on."""
_POSITIVE = ("max_speech_clip_s", "max_whole_speech_s", "max_sound_clip_s", "max_passage_characters")
_NOT_NEGATIVE = (
    "max_speech_s", "max_sound_s", "max_music_s", "max_unknown_s", "max_text_passages", "max_pieces_per_clip",
    "max_passages_per_document", "min_clip_s", "max_pause_s", "min_language_speech_s", "min_language_probability",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class RawToAnnotated:
    """Cut the raw clips and say what models and measurements find in them."""

    EDGE: ClassVar[str] = "raw_to_annotated"
    WRITES: ClassVar[str] = "annotated"

    models: str = "data/models"
    """Folder of prepared models."""
    annotators: tuple[str, ...] = table.DEFAULT
    """Names from the table; leaving one out leaves its columns empty."""
    max_speech_clip_s: float = 15.0
    """Longer speech is cut at pauses."""
    max_whole_speech_s: float = 30.0
    """Speech whose given text cannot be shared among its cuts stays whole up to this length (a window of Whisper), and is dropped as
    `unaligned_text` beyond."""
    max_pause_s: float = 2.0
    """In long recordings a longer pause is in no clip."""
    max_sound_clip_s: float = 10.0
    """Longer sound and music are cut into pieces of this length."""
    min_clip_s: float = 0.2
    """Shorter clips are dropped as `too_short`."""
    max_pieces_per_clip: int = 0
    """Most pieces that one recording of sound or music is cut into, spread over its length; 0 takes all."""
    max_passage_characters: int = 600
    """Longer text is cut at sentences."""
    max_passages_per_document: int = 0
    """0 takes all."""
    max_speech_s: float = 0.0
    """Limit of a whole domain, in seconds, spread over its corpora; 0 takes all. What is left out is dropped as
    `over_limit`."""
    max_sound_s: float = 0.0
    """Like `max_speech_s`, for sound."""
    max_music_s: float = 0.0
    """Like `max_speech_s`, for music."""
    max_unknown_s: float = 0.0
    """The same limit, for clips whose domain the source does not say."""
    max_text_passages: int = 0
    """Limit of text, spread over its corpora; 0 takes all."""
    text_policy: TranscriptPolicy = field(default_factory=TranscriptPolicy)
    """Limits from which on a recognizer's text is rejected. Rejected rows say why, and are not trained on."""
    min_language_speech_s: float = 2.0
    """Seconds of speech that a clip must have for its language to be told by ear; with less it is left open."""
    min_language_probability: float = 0.8
    """Least probability of a language that is identified by ear."""
    copies: CopySearch = field(default_factory=CopySearch)
    """What counts as a copy of another clip."""
    device: str = "cpu"
    """`cpu` or `cuda`: of the annotators."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    raw_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        self._check()
        raw = parent(store, "raw", "ingest-corpus", self.raw_ref)
        parameters = {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_VERSION}
        evalsets = {name: head.content_id for name, head in sorted(store.refs("evalset").items())}
        return Plan(
            kind=self.WRITES,
            schema_version=3,
            parents={"raw": raw.content_id},
            parameters={
                **parameters,
                "annotators": table.versions(self.annotators, Path(self.models)),
                **({"evalsets": evalsets} if evalsets else {}),
            },
            code_version=f"{self.EDGE}-{CODE_VERSION}-{CUTS_CODE_VERSION}",
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RawToCuts:
    """Cut the raw clips and ask every annotator about every cut."""

    EDGE: ClassVar[str] = "raw_to_annotated"
    WRITES: ClassVar[str] = "cuts"

    annotate: RawToAnnotated
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        """A shard of an older version is named again where the raw shard behind it, the rules and the annotators are the same."""
        raw = parent(store, "raw", "ingest-corpus", self.annotate.raw_ref)
        whole = self.annotate.plan(store)
        left_out = (*OF_THE_CORPUS, "evalsets")
        plan = Plan(
            kind=self.WRITES,
            schema_version=2,
            parents=whole.parents,
            parameters={name: value for name, value in whole.parameters.items() if name not in left_out},
            code_version=f"{self.EDGE}-{CUTS_CODE_VERSION}",
        )
        reused = self._reused(store, plan, {shard.unit: shard.sha256 for shard in raw.shards})
        taken = {shard.unit for shard in reused}
        return replace(plan, units=[unit for unit in whole.units if unit not in taken], reused=reused)

    def resources(self) -> dict[str, float]:
        return self.annotate.resources()

    def _reused(self, store: Store, plan: Plan, raw_shards: dict[str, str]) -> list[ShardInfo]:
        if any(self.annotate.limits_s().values()):
            return []  # which clips are within a limit depends on all of them
        shards: dict[str, ShardInfo] = {}
        same = (plan.parameters, plan.code_version, plan.schema_version)
        for version in store.versions(self.WRITES):
            if (version.parameters, version.code_version, version.schema_version) == same:
                before = {shard.unit: shard.sha256 for shard in _raw_of(store, version)}
                for shard in version.shards:
                    if before.get(shard.unit, "") == raw_shards.get(shard.unit):
                        shards.setdefault(shard.unit, shard)
        return [shards[unit] for unit in sorted(shards)]


def _raw_of(store: Store, version: Manifest) -> list[ShardInfo]:
    """The raw shards that a version was made from; none where they are gone."""
    return next((one.shards for one in store.versions("raw") if one.content_id == version.parents["raw"]), [])
