"""The annotators, in the order they are asked: a later one may use what an earlier one found."""

from pathlib import Path

from uniaudio_schemas.errors import UsageError

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated import musicnn
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
from uniaudio_pipelines.raw_to_annotated.annotators.weights import weights_id

_DEFAULT: tuple[type[Annotator], ...] = (
    VoiceActivity, Loudness, SignalToNoise, MeanOpinionScore, Language, Transcript, SpeakerEmbedding, Voices, Prosody,
    SourceCaption, MusicStructure, Style, CaptionByMeasures,
)  # fmt: skip
_BY_NAME: tuple[type[Annotator], ...] = (
    AudioLanguage, TimestampedTranscript, SecondTranscript, MusicTags, transformers_models.WavLMSpeaker, transformers_models.AudioSetTags,
    transformers_models.Emotion, transformers_models.ZeroShotTagger, transformers_models.Captioner, ChatCaption,
    onnx_models.EcapaSpeaker, onnx_models.PyannoteOverlap,
)  # fmt: skip
"""Annotators whose models the user must prepare."""
_OF_A_FOLDER = (transformers_models.Pretrained, onnx_models.OnnxModel)
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
"""Names of the annotators of a job that names none: what packages hold, and the two models that every installation prepares."""

_WHISPER, _SPEAKER = f"{model_files.WHISPER_FOLDER}/*.pt", f"{model_files.SPEAKER_FOLDER}/{model_files.SPEAKER_FILE}"
WEIGHTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("transcript", "timestamped_transcript", "audio_language"), (_WHISPER,)),
    "second_transcript": (f"{model_files.SECOND_WHISPER_FOLDER}/*.pt",),
    **dict.fromkeys(("speaker_embedding", "voices"), (_SPEAKER,)),
    "music_tags": (f"{musicnn.FOLDER}/{musicnn.FILE}",),
    **{name: (f"{cls.folder}/**/*",) for name, cls in ANNOTATORS.items() if issubclass(cls, _OF_A_FOLDER)},
}
"""Annotator -> its files below the folder of models; those of the others come with packages, whose versions they name."""


def versions(names: tuple[str, ...], models: Path) -> dict[str, str]:
    """Name -> version of the annotators `names` with the weights that lie in `models`, for a plan."""
    if unknown := sorted(set(names) - set(ANNOTATORS)):
        raise UsageError(f"`annotators` must be of {', '.join(ANNOTATORS)}, but has {', '.join(unknown)}.")
    of_code = {name: ANNOTATORS[name].version() for name in ANNOTATORS if name in names}
    return {
        name: f"{version}-{_weights_id(name, models)}" if name in WEIGHTS else version
        for name, version in of_code.items()
    }


def load(names: tuple[str, ...], models: Path, device: str) -> list[Annotator]:
    """The annotators `names`, ready; what is missing is a `UsageError` that says how to get it."""
    return [_loaded(name, models, device) for name in ANNOTATORS if name in names]


def _loaded(name: str, models: Path, device: str) -> Annotator:
    annotator = ANNOTATORS[name](models, device)
    if name in WEIGHTS:
        annotator.weights_id = _weights_id(name, models)  # type: ignore[attr-defined]
    return annotator


def _weights_id(name: str, models: Path) -> str:
    return weights_id(models, WEIGHTS[name])
