"""In place of `transcript`, for who wants its word times: the package whisper-timestamped, with the encoder's whole 30 s.

Row out  {"transcript": "Let's go.", "words": [{"word": "Let's", "first_sample": 1200, …}, …], "repetition": 0.0, …}

whisper-timestamped is under the AGPL-3.0: who offers a service to others with it must offer them its source. It takes 2.6 times the CPU
of `transcript`; the word times of the two differ by 0.02 s in the median.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from uniaudio_schemas.kinds.annotated import Word

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.recognizer import Heard
from uniaudio_pipelines.raw_to_annotated.annotators.transcript import MIN_SPEECH_FRACTION, Transcript, values_of

_TEMPERATURES = (0.0, 0.4, 0.8)
_SEED = 0


class TimestampedTranscript:
    name: ClassVar[str] = "timestamped_transcript"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = Transcript.reads
    writes: ClassVar[frozenset[str]] = Transcript.writes

    def __init__(self, models: Path, device: str) -> None:
        path = model_files.require_model(models, model_files.WHISPER_FOLDER, model_files.WHISPER_FILE)
        packages.require_package("whisper_timestamped", self.name)
        import whisper_timestamped

        self._whisper: Any = whisper_timestamped
        self._model = whisper_timestamped.load_model(str(path), device=device)

    @classmethod
    def version(cls) -> str:
        return f"{model_files.WHISPER_FOLDER}-timestamped-{packages.package_version('whisper-timestamped')}-3"

    def annotate(self, clip: Clip) -> list[Value]:
        if clip.known.get("speech_fraction", 1.0) < MIN_SPEECH_FRACTION:
            return []
        import torch
        from whisper.tokenizer import LANGUAGES

        known = clip.known.get("language")
        torch.manual_seed(_SEED)
        result = self._whisper.transcribe(
            self._model,
            clip.analysis,
            language=known if known in LANGUAGES else None,
            temperature=_TEMPERATURES,
            best_of=1,
            beam_size=None,
            condition_on_previous_text=False,
            verbose=None,
        )
        return values_of(_heard(result, clip.sample_rate), clip)


def _heard(result: dict[str, Any], sample_rate: int) -> Heard:
    language, segments = str(result["language"]), result["segments"]
    sure = (result.get("language_probs") or {}).get(language)
    return Heard(
        text=" ".join(str(result["text"]).split()),
        words=[_word(word, sample_rate) for segment in segments for word in segment.get("words", [])],
        language=language,
        language_probability=None if sure is None else round(float(sure), 4),
        no_speech_probability=max((float(segment["no_speech_prob"]) for segment in segments), default=None),
    )


def _word(word: dict[str, Any], sample_rate: int) -> Word:
    first, last = (int(np.rint(float(word[side]) * sample_rate)) for side in ("start", "end"))
    return Word(
        word=str(word["text"]).strip(),
        first_sample=first,
        num_samples=last - first,
        confidence=round(float(word["confidence"]), 4),
    )
