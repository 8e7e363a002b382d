"""The annotators, in the order they are asked: a later one may use what an earlier one found."""

from pathlib import Path

from uniaudio_schemas.errors import UsageError

from uniaudio_pipelines.raw_to_annotated.annotators import onnx_models, transformers_models
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Annotator
from uniaudio_pipelines.raw_to_annotated.annotators.audio_language import AudioLanguage
from uniaudio_pipelines.raw_to_annotated.annotators.caption import SourceCaption
from uniaudio_pipelines.raw_to_annotated.annotators.chat_caption import ChatCaption
from uniaudio_pipelines.raw_to_annotated.annotators.language import Language
from uniaudio_pipelines.raw_to_annotated.annotators.loudness import Loudness, SignalToNoise
from uniaudio_pipelines.raw_to_annotated.annotators.measured_caption import CaptionByMeasures
from uniaudio_pipelines.raw_to_annotated.annotators.mos import MeanOpinionScore
from uniaudio_pipelines.raw_to_annotated.annotators.music_structure import MusicStructure
from uniaudio_pipelines.raw_to_annotated.annotators.music_tags import MusicTags
from uniaudio_pipelines.raw_to_annotated.annotators.prosody import Prosody
from uniaudio_pipelines.raw_to_annotated.annotators.second_transcript import SecondTranscript
from uniaudio_pipelines.raw_to_annotated.annotators.speaker import SpeakerEmbedding
from uniaudio_pipelines.raw_to_annotated.annotators.style import Style
from uniaudio_pipelines.raw_to_annotated.annotators.timestamped import TimestampedTranscript
from uniaudio_pipelines.raw_to_annotated.annotators.transcript import Transcript
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity
from uniaudio_pipelines.raw_to_annotated.annotators.voices import Voices

_DEFAULT: tuple[type[Annotator], ...] = (
    VoiceActivity, Loudness, SignalToNoise, MeanOpinionScore, Language, Transcript, SpeakerEmbedding, Voices, Prosody,
    SourceCaption, MusicStructure, Style, CaptionByMeasures,
)  # fmt: skip
_BY_NAME: tuple[type[Annotator], ...] = (
    AudioLanguage, TimestampedTranscript, SecondTranscript, MusicTags, transformers_models.WavLMSpeaker, transformers_models.AudioSetTags,
    transformers_models.Emotion, transformers_models.ZeroShotTagger, transformers_models.Captioner, ChatCaption,
    onnx_models.EcapaSpeaker, onnx_models.PyannoteOverlap,
)  # fmt: skip
"""Their models are the user's to prepare."""
_ORDER = (
    "voice_activity", "loudness", "signal_to_noise", "mos", "language", "transcript", "timestamped_transcript", "audio_language",
    "second_transcript", "speaker_embedding", "wavlm_speaker", "ecapa_speaker", "voices", "pyannote_overlap", "prosody",
    "emotion", "source_caption", "music_structure", "music_tags", "ast_tags", "clap_tags", "qwen_caption", "style", "caption_by_measures", "chat_caption",
)  # fmt: skip

ANNOTATORS: dict[str, type[Annotator]] = {
    name: cls for name in _ORDER for cls in (*_DEFAULT, *_BY_NAME) if cls.name == name
}
assert len(ANNOTATORS) == len(_ORDER) == len(_DEFAULT) + len(_BY_NAME), "every annotator has its place in the order"

DEFAULT = tuple(name for name in _ORDER if ANNOTATORS[name] in _DEFAULT)
"""Those that a job asks where it names none: what packages hold, and the two models that every installation prepares."""


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Name -> version of the annotators `names`, for a plan."""
    if unknown := sorted(set(names) - set(ANNOTATORS)):
        raise UsageError(f"`annotators` must be of {', '.join(ANNOTATORS)}, but has {', '.join(unknown)}.")
    return {name: ANNOTATORS[name].version() for name in ANNOTATORS if name in names}


def load(names: tuple[str, ...], models: Path, device: str) -> list[Annotator]:
    """The annotators `names`, ready; what is missing is a `UsageError` that says how to get it."""
    return [cls(models, device) for name, cls in ANNOTATORS.items() if name in names]
