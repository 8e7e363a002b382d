"""The annotators, in the order they are asked: a later one may use what an earlier one found."""

from pathlib import Path

from uniaudio_schemas.errors import UsageError

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Annotator
from uniaudio_pipelines.raw_to_annotated.annotators.caption import SourceCaption
from uniaudio_pipelines.raw_to_annotated.annotators.language import Language
from uniaudio_pipelines.raw_to_annotated.annotators.loudness import Loudness, SignalToNoise
from uniaudio_pipelines.raw_to_annotated.annotators.mos import MeanOpinionScore
from uniaudio_pipelines.raw_to_annotated.annotators.speaker import SpeakerEmbedding
from uniaudio_pipelines.raw_to_annotated.annotators.transcript import Transcript
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity

ANNOTATORS: dict[str, type[Annotator]] = {
    cls.name: cls
    for cls in (
        VoiceActivity,
        Loudness,
        SignalToNoise,
        MeanOpinionScore,
        Language,
        Transcript,
        SpeakerEmbedding,
        SourceCaption,
    )
}

DEFAULT = tuple(ANNOTATORS)
"""Those that a job asks where it names none: what packages hold, and the two models that every installation prepares."""


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Name -> version of the annotators `names`, for a plan."""
    if unknown := sorted(set(names) - set(ANNOTATORS)):
        raise UsageError(f"`annotators` must be of {', '.join(ANNOTATORS)}, but has {', '.join(unknown)}.")
    return {name: ANNOTATORS[name].version() for name in ANNOTATORS if name in names}


def load(names: tuple[str, ...], models: Path, device: str) -> list[Annotator]:
    """The annotators `names`, ready; what is missing is a `UsageError` that says how to get it."""
    return [cls(models, device) for name, cls in ANNOTATORS.items() if name in names]
