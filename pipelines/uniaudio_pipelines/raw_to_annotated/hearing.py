"""Listen to a whole recording once, block by block: where somebody speaks, how loud it is. Memory: 8 bytes each 32 ms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from uniaudio_schemas.kinds.raw import Raw

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE as RATE
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, VoiceActivity
from uniaudio_pipelines.raw_to_annotated.segmentation import Hearing

if TYPE_CHECKING:
    from uniaudio.audio.render import RawReader


def listen(reader: "RawReader", raw: Raw, voice: VoiceActivity | None) -> Hearing:
    """All of `raw`; without `voice` nobody says where speech is."""
    from uniaudio.audio.resample import resample_blocks

    peak = 0.0

    def heard() -> Iterator[np.ndarray]:
        nonlocal peak
        for block_CN in reader.blocks():
            peak = max(peak, float(np.abs(block_CN).max(initial=0.0)))
            yield reader.mono(block_CN)

    detector = voice.stream() if voice else None
    speech, power, rest = [], [], np.zeros(0, np.float32)
    for block_N in resample_blocks(heard(), raw.sample_rate, RATE):
        rest = np.concatenate([rest, block_N])
        whole = len(rest) // FRAME * FRAME
        power.append(_power(rest[:whole]))
        rest = rest[whole:]
        if detector:
            speech.append(detector.add(block_N))
    if len(rest):
        power.append(_power(np.pad(rest, (0, FRAME - len(rest)))))
    if detector:
        speech.append(detector.finish())
    return Hearing(
        speech=_joined(speech),
        power=_joined(power),
        num_samples=raw.num_samples,
        sample_rate=raw.sample_rate,
        peak=peak,
    )


def _power(samples_N: np.ndarray) -> np.ndarray:
    return np.asarray((samples_N.reshape(-1, FRAME).astype(np.float64) ** 2).mean(axis=1), np.float32)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *parts])
