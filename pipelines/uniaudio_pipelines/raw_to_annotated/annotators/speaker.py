"""Who speaks, as a direction: the GE2E embedding of `uniaudio.metrics.speaker`, over the voiced frames of a clip."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY

_MIN_SAMPLES = ANALYSIS_RATE // 2


class SpeakerEmbedding:
    name: ClassVar[str] = "speaker_embedding"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"speaker_embedding"})

    def __init__(self, models: Path, device: str) -> None:
        from uniaudio.metrics.speaker import VoiceEncoder

        path = model_files.require_model(models, model_files.SPEAKER_FOLDER, model_files.SPEAKER_FILE)
        self._encoder = VoiceEncoder.load(path)

    @classmethod
    def version(cls) -> str:
        return "ge2e-resemblyzer-0.1.4-1"

    def annotate(self, clip: Clip) -> list[Value]:
        voiced = voiced_samples(clip)
        if len(voiced) < _MIN_SAMPLES:
            return []
        # Certain from about 5 s on: shorter clips scatter.
        return [
            Value(
                column="speaker_embedding",
                value=[round(float(value), 6) for value in self._encoder.embed(voiced)],
                confidence=round(min(1.0, len(voiced) / (5 * ANALYSIS_RATE)), 3),
            )
        ]


def voiced_samples(clip: Clip) -> np.ndarray:
    """The frames with speech, and one more on either side."""
    speech = clip.speech_probabilities >= SPEECH_PROBABILITY
    if not len(speech):
        return clip.analysis
    wide = speech | np.append(speech[1:], False) | np.insert(speech[:-1], 0, False)
    voiced: np.ndarray = clip.analysis[np.repeat(wide, FRAME)[: len(clip.analysis)]]
    return voiced
