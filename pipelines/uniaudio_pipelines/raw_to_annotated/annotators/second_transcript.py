"""What another recognizer hears, and how far the two disagree: Whisper tiny.en, for English only.

Row out  {"second_transcript": "Let's go.", "second_wer": 0.0}

A transcript that is fluent, sure of itself and wrong has no other sign: two recognizers rarely invent the same.
"""

from pathlib import Path
from typing import ClassVar

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.recognizer import Recognizer


class SecondTranscript:
    """Asked after `transcript`; silent where that heard nothing, or in a language this one does not know."""

    name: ClassVar[str] = "second_transcript"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset({"transcript", "language"})
    writes: ClassVar[frozenset[str]] = frozenset({"second_transcript", "second_wer"})

    def __init__(self, models: Path, device: str, folder: str = model_files.SECOND_WHISPER_FOLDER) -> None:
        self._recognizer = Recognizer(models, folder, device, self.name)

    @classmethod
    def version(cls, folder: str = model_files.SECOND_WHISPER_FOLDER) -> str:
        return f"{folder}-{packages.package_version('openai-whisper')}-2"

    def annotate(self, clip: Clip) -> list[Value]:
        from uniaudio.metrics.wer import disagreement

        first = clip.known.get("transcript")
        language = self._recognizer.language_code(clip.known.get("language"))
        if not first or language is None:
            return []
        recognition = self._recognizer.recognize(clip.analysis, clip.sample_rate, language)
        differing = disagreement(first, recognition.text)
        values = [Value(column="second_transcript", value=recognition.text, confidence=recognition.confidence)]
        if differing is not None:
            values.append(Value(column="second_wer", value=round(differing, 4)))
        return values
