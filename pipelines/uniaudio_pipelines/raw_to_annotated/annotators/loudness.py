"""Integrated loudness after ITU-R BS.1770, and an estimate of the signal-to-noise ratio."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY

_MIN_FRAMES = 3
_MAX_SNR_DB = 80.0
"""Digital silence between words would be infinite."""


class Loudness:
    name: ClassVar[str] = "loudness"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH, SOUND, MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"loudness_lufs"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # measures; has none

    @classmethod
    def version(cls) -> str:
        return "bs1770-1"

    def annotate(self, clip: Clip) -> list[Value]:
        from uniaudio.audio.loudness import integrated_loudness

        lufs = integrated_loudness(clip.samples, clip.sample_rate)
        if lufs is None or not np.isfinite(lufs):
            return []
        return [Value(column="loudness_lufs", value=round(float(lufs), 2))]


class SignalToNoise:
    """Power of the frames with speech over that of the frames without, both by voice activity."""

    name: ClassVar[str] = "signal_to_noise"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"snr_db"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # measures; has none

    @classmethod
    def version(cls) -> str:
        return "vad-power-1"

    def annotate(self, clip: Clip) -> list[Value]:
        num_frames = len(clip.analysis) // FRAME
        power = (clip.analysis[: num_frames * FRAME].reshape(num_frames, FRAME).astype(np.float64) ** 2).mean(axis=1)
        speech = clip.speech_probabilities[:num_frames] >= SPEECH_PROBABILITY
        # Frames at an edge of speech are neither.
        noise = ~(speech | np.roll(speech, 1) | np.roll(speech, -1))
        if speech.sum() < _MIN_FRAMES or noise.sum() < _MIN_FRAMES:
            return []
        noise_power = max(float(np.median(power[noise])), 1e-12)
        signal_power = max(float(power[speech].mean()) - noise_power, 1e-12)
        snr = min(10 * np.log10(signal_power / noise_power), _MAX_SNR_DB)
        # More frames of noise, more certain.
        return [Value(column="snr_db", value=round(float(snr), 2), confidence=min(1.0, float(noise.sum()) / 30))]
