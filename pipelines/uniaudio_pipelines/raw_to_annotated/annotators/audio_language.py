"""Which language is spoken, by Whisper's language token, where neither the source nor a recognizer is sure of it.

Whisper's encoder hears 30 s, as in training, and its decoder takes one step. On a CPU one clip at a time; on a GPU a
batch of one size, filled up with silence, so that a clip's answer does not depend on its neighbours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import SPEECH_PROBABILITY

_SURE = 0.5
"""Probability from which the language of a recognizer stands."""
_MIN_PROBABILITY = 0.5
"""Least probability of a language. Of 40 clips in Czech, English, Spanish and Russian 29 were beyond, 27 of them right; the other two were
Czech, in which the base size is weak. From 0.3 on 36 were, 30 of them right."""
_MIN_SPEECH_FRAMES = 16
"""Frames in half a second."""
_MOST_S = 30


class AudioLanguage:
    name: ClassVar[str] = "audio_language"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset({"language", "language_probability"})
    writes: ClassVar[frozenset[str]] = frozenset({"language", "language_probability"})
    batch_size: ClassVar[int] = 16

    def __init__(self, models: Path, device: str) -> None:
        path = model_files.require_model(models, model_files.WHISPER_FOLDER, model_files.WHISPER_FILE)
        packages.require_package("whisper", self.name)
        import whisper

        self._whisper: Any = whisper
        self._model = whisper.load_model(str(path), device=device)
        self._device = device

    @classmethod
    def version(cls) -> str:
        return f"whisper-base-{packages.package_version('openai-whisper')}-2"

    def annotate(self, clip: Clip) -> list[Value]:
        return self.annotate_batch([clip])[0]

    def annotate_batch(self, clips: Sequence[Clip]) -> list[list[Value]]:
        clips_to_ask = [clip for clip in clips if self._is_asked(clip)]
        size = 1 if self._device == "cpu" else self.batch_size
        values_by_clip: dict[int, list[Value]] = {}
        for first in range(0, len(clips_to_ask), size):
            group = clips_to_ask[first : first + size]
            for clip, likely in zip(group, self._likely(group, size), strict=False):
                values_by_clip[id(clip)] = _values(likely)
        return [values_by_clip.get(id(clip), []) for clip in clips]

    def _is_asked(self, clip: Clip) -> bool:
        sure = clip.known.get("language_probability")
        if clip.raw.language or (clip.known.get("language") and (sure is None or sure >= _SURE)):
            return False
        speech = clip.speech_probabilities
        enough = not len(speech) or int((speech >= SPEECH_PROBABILITY).sum()) >= _MIN_SPEECH_FRAMES
        return enough and bool(np.any(clip.analysis))

    def _likely(self, clips: Sequence[Clip], size: int) -> list[dict[str, float]]:
        """Language -> probability, of `size` clips, the missing ones silent."""
        import torch

        samples_BN = torch.zeros(size, _MOST_S * ANALYSIS_RATE)
        for row, clip in enumerate(clips):
            samples_N = clip.analysis[: samples_BN.shape[1]]
            samples_BN[row, : len(samples_N)] = torch.from_numpy(np.ascontiguousarray(samples_N, np.float32))
        mel_BMT = self._whisper.log_mel_spectrogram(samples_BN, self._model.dims.n_mels).to(self._device)
        mel_BMT = mel_BMT[:, :, : 2 * self._model.dims.n_audio_ctx].to(self._model.decoder.token_embedding.weight.dtype)
        with torch.inference_mode():
            likely: list[dict[str, float]] = self._whisper.detect_language(self._model, mel_BMT)[1]
        return likely


def _values(likely: dict[str, float]) -> list[Value]:
    language = max(likely, key=lambda name: (likely[name], name))
    probability = round(float(likely[language]), 4)
    if probability < _MIN_PROBABILITY:
        return []
    return [
        Value(column="language", value=language, confidence=probability),
        Value(column="language_probability", value=probability, confidence=probability),
    ]
