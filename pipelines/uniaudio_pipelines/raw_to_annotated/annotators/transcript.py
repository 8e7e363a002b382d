"""What is said and when, and what gives an invented transcript away: Whisper (`recognizer`), by default base.

Row out  {"transcript": "Let's go.", "words": [{"word": "Let's", "first_sample": 1200, "num_samples": 3300, …}, …],
          "language": "en", "language_probability": 0.99, "no_speech_probability": 0.01, "compression_ratio": 0.53,
          "repetition": 0.0, "characters_per_s": 9.1, "words_per_s": 2.3, "num_empty_words": 0, "unsaid_s": 0.06}

Nothing is left out here for being implausible: the numbers say so, and `uniaudio.text.plausibility` says which are too
bad. Words are inside the clip; those that Whisper put behind its end, or gave no length, are counted.
"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.kinds.annotated import Word

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.recognizer import Heard, Recognizer
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY

MIN_SPEECH_FRACTION = 0.02
"""Least share of speech in a clip; below it Whisper invents."""

_MEASURES = (
    "no_speech_probability",
    "language_probability",
    "compression_ratio",
    "repetition",
    "characters_per_s",
    "words_per_s",
    "num_empty_words",
)
"""Columns of what `uniaudio.text.plausibility` counts."""


class Transcript:
    name: ClassVar[str] = "transcript"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset({"speech_fraction", "language"})
    writes: ClassVar[frozenset[str]] = frozenset({"transcript", "words", "language", "unsaid_s", *_MEASURES})

    def __init__(self, models: Path, device: str, folder: str = model_files.WHISPER_FOLDER) -> None:
        self._recognizer = Recognizer(models, folder, device, self.name)

    @classmethod
    def version(cls, folder: str = model_files.WHISPER_FOLDER) -> str:
        return f"{folder}-{packages.package_version('openai-whisper')}-5"

    def annotate(self, clip: Clip) -> list[Value]:
        if clip.known.get("speech_fraction", 1.0) < MIN_SPEECH_FRACTION:
            return []
        language = self._recognizer.language_code(clip.known.get("language"))
        return values_of(self._recognizer.recognize(clip.analysis, clip.sample_rate, language), clip)


def values_of(heard: Heard, clip: Clip) -> list[Value]:
    """The columns of what was heard; none where nothing was."""
    from uniaudio.text.plausibility import count_empty_words, measure_transcript

    if not heard.text or not heard.words:
        return []
    measures = measure_transcript(
        heard.text,
        duration_s=clip.num_samples / clip.sample_rate,
        num_empty_words=count_empty_words(heard.words, clip.num_samples),
        no_speech_probability=heard.no_speech_probability,
        language_probability=heard.language_probability,
    )
    measured = {**{name: getattr(measures, name) for name in _MEASURES}, "unsaid_s": _unsaid_s(heard, clip)}
    values = [
        Value(column="transcript", value=heard.text, confidence=heard.confidence),
        Value(
            column="words", value=[_inside(word, clip.num_samples) for word in heard.words], confidence=heard.confidence
        ),
    ]
    if "language" not in clip.known:
        values.append(Value(column="language", value=heard.language, confidence=heard.language_probability))
    for column, value in measured.items():
        if value is not None:
            values.append(Value(column=column, value=round(value, 4) if isinstance(value, float) else value))
    return values


def _unsaid_s(heard: Heard, clip: Clip) -> float | None:
    """Seconds of speech without words; None where nobody listened for speech."""
    from uniaudio.text.plausibility import unsaid_speech_s

    if not len(clip.speech_probabilities):
        return None
    is_speech = clip.speech_probabilities >= SPEECH_PROBABILITY
    return unsaid_speech_s(heard.words, is_speech, frame_s=FRAME / ANALYSIS_RATE, sample_rate=clip.sample_rate)


def _inside(word: Word, num_samples: int) -> Word:
    first = min(max(word.first_sample, 0), num_samples)
    last = min(max(word.first_sample + word.num_samples, first), num_samples)
    return replace(word, first_sample=first, num_samples=last - first)
