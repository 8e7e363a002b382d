"""What metrics hear and compare with besides the sample: a recognizer, encoders of voices and sentences, the answers of training; each loaded when it is first
asked for, from the packages' own files below the folder `models` of the job.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.resample import resample
from uniaudio.metrics.dnsmos import dnsmos
from uniaudio.metrics.recognize import load_recognizer
from uniaudio.metrics.sentences import load_sentence_encoder
from uniaudio.metrics.speaker import VOICE_RATE, VoiceEncoder
from uniaudio.tasks import Task
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.job import RECOGNIZER, SENTENCES, VOICES
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample

_NUM_TRAINED = 256
"""Training examples behind a usual length."""
_USUAL_LANGUAGE = "en"


class MissingModelError(Exception):
    """A metric's model is not in the folder `models`; the message names the file."""


def white_noise(num_samples: int) -> np.ndarray:
    """`[N]` white noise at -20 dB of full scale, always the same."""
    return (0.1 * np.random.default_rng(0).standard_normal(num_samples)).astype(np.float32)


class Tools:
    """Tools for the metrics of one benchmark; all benchmarks of a worker share the models."""

    def __init__(self, evaluation: Evaluation, models: "Models", task: Task) -> None:
        self._evaluation, self._models, self._task = evaluation, models, task
        self._samples: list[Sample] = []
        self._places: dict[int, int] = {}

    def hear(self, samples: np.ndarray, language: str | None) -> str | None:
        """The words that the recognizer hears; None of a language it does not know."""
        return self._models.recognizer(samples, (language or _USUAL_LANGUAGE).partition("-")[0])

    def voice(self, samples: np.ndarray) -> np.ndarray:
        """`[256]` embedding of `[N]` at 24 kHz."""
        return self._models.voices.embed(resample(samples, SAMPLE_RATE, VOICE_RATE))

    def meaning(self, text: str) -> np.ndarray:
        """`[384]` embedding of a text, of unit length."""
        return self._models.sentences(text)

    def noise(self, num_samples: int) -> np.ndarray:
        return white_noise(num_samples)

    def see(self, samples: Sequence[Sample]) -> None:
        """The samples that are judged together."""
        self._samples = list(samples)
        self._places = {id(sample): place for place, sample in enumerate(self._samples)}

    def another_recording(self, sample: Sample) -> np.ndarray | None:
        """What was recorded for the next sample of another recording; None where there is none."""
        here, count = self._places[id(sample)], len(self._samples)
        others = (self._samples[(here + step) % count] for step in range(1, count))
        other = next((one for one in others if one.recording != sample.recording), None)
        return None if other is None else other.audio(other.recorded[0])

    @property
    def noise_dnsmos(self) -> float | None:
        return self._models.noise_dnsmos

    @cached_property
    def frequent(self) -> str:
        """The most frequent answer of the task's training examples; of several the first by its letters."""
        rows = self._evaluation.training_instructions(self._task.name)
        texts = [[one.text for one in row.segments if one.kind == "text" and one.loss] for row in rows]
        counts = Counter(sorted(answer_texts[-1] for answer_texts in texts if answer_texts))
        return counts.most_common(1)[0][0] if counts else ""

    @cached_property
    def usual_frames(self) -> float:
        """Median of the reconstruction frames that training answers have; 0 without any."""
        rows = self._evaluation.trained(self._task.name, _NUM_TRAINED)
        return float(np.median([self._evaluation.recorded_frames(row) for row in rows])) if rows else 0.0


class Models:
    """The files below one folder; `MissingModelError` where one is not there."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @cached_property
    def recognizer(self) -> Callable[[np.ndarray, str], str | None]:
        return load_recognizer(self._file(f"{RECOGNIZER}/tokenizer.json").parent)

    @cached_property
    def voices(self) -> VoiceEncoder:
        return VoiceEncoder.load(self._file(VOICES))

    @cached_property
    def sentences(self) -> Callable[[str], np.ndarray]:
        return load_sentence_encoder(self._file(SENTENCES).parent)

    @cached_property
    def noise_dnsmos(self) -> float | None:
        opinion = dnsmos(white_noise(SAMPLE_RATE), SAMPLE_RATE)
        return None if opinion is None else opinion.overall

    def _file(self, name: str) -> Path:
        path = Path(self._folder) / name
        if not self._folder or not path.is_file():
            raise MissingModelError(f"{name} must lie below `models`, but {self._folder or 'no folder'} has none")
        return path
