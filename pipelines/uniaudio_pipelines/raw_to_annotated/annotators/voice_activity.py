"""Where speech is, by Silero VAD, one probability for each 32 ms."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH, Clip, Value

FRAME = 512
"""Samples at 16 kHz a probability is for."""
SPEECH_PROBABILITY = 0.5
_CONTEXT = 64
_FRAMES_A_CALL = 512


class VoiceActivity:
    name: ClassVar[str] = "voice_activity"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH, SOUND, MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"speech_fraction"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # its network is in a package
        path = packages.package_file("silero_vad", "data/silero_vad_16k_sequence.onnx", self.name)
        packages.require_package("onnxruntime", self.name)
        self._session: Any = packages.onnx_session(path)

    @classmethod
    def version(cls) -> str:
        return f"silero-{packages.package_version('silero-vad')}"

    def stream(self) -> "VoiceStream":
        """Detector for a recording that comes in blocks."""
        return VoiceStream(self._session)

    def probabilities(self, analysis_N: np.ndarray) -> np.ndarray:
        """`[N]` mono at 16 kHz -> `[ceil(N / 512)]` probabilities that somebody speaks."""
        stream = self.stream()
        return np.concatenate([stream.add(analysis_N), stream.finish()])

    def annotate(self, clip: Clip) -> list[Value]:
        """The probabilities of the clip's part of the recording, heard with what came before it."""
        if not len(clip.speech_probabilities):
            return []
        speech = clip.speech_probabilities >= SPEECH_PROBABILITY
        # Sure where the probabilities are far from the middle.
        confidence = float(np.abs(clip.speech_probabilities - 0.5).mean() * 2)
        return [Value(column="speech_fraction", value=float(speech.mean()), confidence=confidence)]


class VoiceStream:
    """The detector at work on one recording: what it heard before stays in its state."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._hidden, self._cell = np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32)
        self._before = np.zeros(_CONTEXT, np.float32)
        self._waiting = np.zeros(0, np.float32)

    def add(self, analysis_N: np.ndarray) -> np.ndarray:
        """The next samples, mono at 16 kHz -> the probabilities that are known now."""
        self._waiting = np.concatenate([self._waiting, np.asarray(analysis_N, np.float32)])
        calls = len(self._waiting) // (FRAME * _FRAMES_A_CALL)
        blocks = [self._call(_FRAMES_A_CALL) for _ in range(calls)]
        return np.concatenate([np.zeros(0, np.float32), *blocks])

    def finish(self) -> np.ndarray:
        """The probabilities of what is left; the last frame is filled up with silence."""
        num_frames = -(-len(self._waiting) // FRAME)
        self._waiting = np.pad(self._waiting, (0, num_frames * FRAME - len(self._waiting)))
        return self._call(num_frames) if num_frames else np.zeros(0, np.float32)

    def _call(self, num_frames: int) -> np.ndarray:
        frames = np.zeros((num_frames, _CONTEXT + FRAME), np.float32)
        frames[:, _CONTEXT:] = self._waiting[: num_frames * FRAME].reshape(num_frames, FRAME)
        # Each frame is given the end of the one before it.
        frames[0, :_CONTEXT], frames[1:, :_CONTEXT] = self._before, frames[:-1, -_CONTEXT:]
        self._before, self._waiting = frames[-1, -_CONTEXT:].copy(), self._waiting[num_frames * FRAME :]
        inputs = {"input": frames, "h": self._hidden, "c": self._cell}
        values, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
        return np.asarray(values, np.float32).reshape(-1)
