"""Annotators by speech models in ONNX, for who has their files: each is asked only by name and reads `<models>/<folder>/model.onnx`.

    ecapa_speaker       ECAPA-TDNN as WeSpeaker exports it          feats [1, T, 80] -> [1, D]        speaker_embedding
    pyannote_overlap    pyannote's segmentation 3.0 as exported     x [1, 1, N] -> [1, T, 7]          overlap_fraction

A file is never fetched: one that is not there is a `UsageError`. The version names all files of the folder by their bytes (`weights`).
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.speaker import voiced_samples

_FILE = "model.onnx"


class OnnxModel:
    """One session on one thread, from `<models>/<folder>`."""

    name: ClassVar[str]
    folder: ClassVar[str]
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, models: Path, device: str) -> None:
        packages.require_package("onnxruntime", self.name)
        path = Path(models) / self.folder / _FILE
        if not path.is_file():
            raise UsageError(f"{path} is missing: put the model there, or leave `{self.name}` out of `annotators`.")
        try:
            self._session: Any = packages.onnx_session(path, device)
        except Exception as error:  # the library's exceptions have no base of their own
            raise DataError(f"{path}: is no model for `{self.name}`: {error}") from error
        self._where = str(path)

    @classmethod
    def version(cls) -> str:
        return f"{cls.folder}-1"

    def _run(self, values: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
        """The first output for the only input; `shape` is what it must have (None: any length)."""
        try:
            (output, *_) = self._session.run(None, {self._session.get_inputs()[0].name: values.astype(np.float32)})
        except Exception as error:  # such as a shape that the model does not take
            raise DataError(f"{self._where}: does not take {list(values.shape)}: {error}") from error
        array: Any = np.asarray(output)
        if array.ndim != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
        ):
            raise DataError(f"{self._where}: must give {list(shape)}, but gives {list(array.shape)}.")
        return np.asarray(array, np.float32)


class EcapaSpeaker(OnnxModel):
    """Who speaks, as the embedding of an ECAPA-TDNN (B. Desplanques et al., Interspeech 2020), in place of the GE2E embedding."""

    name: ClassVar[str] = "ecapa_speaker"
    folder: ClassVar[str] = "ecapa"
    writes: ClassVar[frozenset[str]] = frozenset({"speaker_embedding"})
    _MIN_SAMPLES = ANALYSIS_RATE // 2

    def annotate(self, clip: Clip) -> list[Value]:
        samples_N = voiced_samples(clip)
        if len(samples_N) < self._MIN_SAMPLES or not samples_N.any():
            return []
        vector_D = self._run(_filter_banks(samples_N)[None], (1, None))[0]
        unit_D = vector_D / max(float(np.linalg.norm(vector_D)), 1e-12)
        sure = round(min(1.0, len(samples_N) / (5 * ANALYSIS_RATE)), 3)
        value = [round(float(number), 6) for number in unit_D]
        return [Value(column="speaker_embedding", value=value, confidence=sure)]


class PyannoteOverlap(OnnxModel):
    """How much of the speech is of two voices at once (A. Plaquet and H. Bredin, Powerset multi-class cross entropy loss, Interspeech 2023).

    A window of 10 s has a frame each 270 samples, and a frame one of seven classes: nobody, one of three voices, or two of them.
    """

    name: ClassVar[str] = "pyannote_overlap"
    folder: ClassVar[str] = "pyannote-segmentation"
    writes: ClassVar[frozenset[str]] = frozenset({"overlap_fraction"})
    _WINDOW, _HOP = 10 * ANALYSIS_RATE, 270
    _NUM_CLASSES, _FIRST_OVERLAP = 7, 4
    _MIN_FRAMES = ANALYSIS_RATE // 270
    """Frames in a second of speech; from less no share can be told."""

    def annotate(self, clip: Clip) -> list[Value]:
        classes_T = np.concatenate([self._classes(part_N) for part_N in self._windows(clip.analysis)])
        num_speech = int((classes_T > 0).sum())
        if num_speech < self._MIN_FRAMES:
            return []
        return [
            Value(column="overlap_fraction", value=round(int((classes_T >= self._FIRST_OVERLAP).sum()) / num_speech, 4))
        ]

    def _windows(self, analysis_N: np.ndarray) -> list[np.ndarray]:
        return [analysis_N[first : first + self._WINDOW] for first in range(0, max(len(analysis_N), 1), self._WINDOW)]

    def _classes(self, part_N: np.ndarray) -> np.ndarray:
        """`[T]` of the frames that lie within the part; the window behind it is silence."""
        filled_N = np.pad(part_N, (0, self._WINDOW - len(part_N)))
        likely_TC = self._run(filled_N[None, None], (1, None, self._NUM_CLASSES))[0]
        return np.asarray(likely_TC[: len(part_N) // self._HOP].argmax(axis=1))


MODELS = (EcapaSpeaker, PyannoteOverlap)


def _filter_banks(samples_N: np.ndarray) -> np.ndarray:
    """`[N]` at 16 kHz -> `[T, 80]` log mel energies of 25 ms each 10 ms, without their mean, as WeSpeaker's models were trained."""
    import torch

    from uniaudio.audio.torchaudio_cpu import import_torchaudio

    import_torchaudio()
    from torchaudio.compliance import kaldi

    wave_1N = torch.from_numpy(np.ascontiguousarray(samples_N, np.float32))[None] * 32_768
    banks_TM = kaldi.fbank(
        wave_1N, num_mel_bins=80, frame_length=25, frame_shift=10, sample_frequency=ANALYSIS_RATE, window_type="hamming"
    )
    centred_TM: np.ndarray = (banks_TM - banks_TM.mean(dim=0)).numpy()
    return centred_TM
