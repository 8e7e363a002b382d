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

    def __init__(self, models: Path, device: str) -> None:
        del models  # its network is in a package
        path = packages.package_file("silero_vad", "data/silero_vad_16k_sequence.onnx", self.name)
        packages.require_package("onnxruntime", self.name)
        self._session: Any = packages.onnx_session(path)

    @classmethod
    def version(cls) -> str:
        return f"silero-{packages.package_version('silero-vad')}"

    def probabilities(self, analysis_N: np.ndarray) -> np.ndarray:
        """`[N]` mono at 16 kHz -> `[ceil(N / 512)]` probabilities that somebody speaks."""
        num_frames = -(-len(analysis_N) // FRAME)
        frames = np.zeros((num_frames, _CONTEXT + FRAME), np.float32)
        padded = np.zeros(num_frames * FRAME, np.float32)
        padded[: len(analysis_N)] = analysis_N
        frames[:, _CONTEXT:] = padded.reshape(num_frames, FRAME)
        # Each frame is given the end of the one before it.
        frames[1:, :_CONTEXT] = frames[:-1, -_CONTEXT:]
        hidden, cell = np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32)
        found = []
        for first in range(0, num_frames, _FRAMES_A_CALL):
            inputs = {"input": frames[first : first + _FRAMES_A_CALL], "h": hidden, "c": cell}
            values, hidden, cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
            found.append(np.asarray(values, np.float32).reshape(-1))
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def annotate(self, clip: Clip) -> list[Value]:
        """The probabilities of the clip's part of the recording, heard with what came before it."""
        if not len(clip.speech_probabilities):
            return []
        speech = clip.speech_probabilities >= SPEECH_PROBABILITY
        # Sure where the probabilities are far from the middle.
        confidence = float(np.abs(clip.speech_probabilities - 0.5).mean() * 2)
        return [Value(column="speech_fraction", value=float(speech.mean()), confidence=confidence)]
