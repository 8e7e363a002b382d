"""The audio of a phase's next steps, decoded by threads while the step before is computed; and how fast a phase is fed.

A step draws its crops by its number, so that what is read ahead moves no bit: a clip that is not there yet is waited for.
"""

import resource
import sys
import time

import torch

from uniaudio.audio.frames import SAMPLE_RATE, UNIT
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.audio import StoredSamples
from uniaudio.training.codec.objective import PhaseLosses
from uniaudio.training.processes import Processes

DEPTH = 2
"""Steps that are read before they are needed."""


class Feed:
    """What one rank reads in a phase."""

    def __init__(self, losses: PhaseLosses, phase: CodecPhase, processes: Processes, device: torch.device) -> None:
        self._losses, self._phase, self._processes, self._device = losses, phase, processes, device
        self._next, self._num_steps, self._num_units = 0, 0, 0
        self._started = time.monotonic()

    def reach(self, step: int) -> None:
        """Called before step `step` is computed: it and those behind it are read."""
        crops = self._losses.crops(step)
        if not self._num_steps:
            self._started, self._losses.train.waited_s = time.monotonic(), 0.0
        self._num_steps += 1
        self._num_units += sum(crop.num_units for crop in crops)
        for ahead in range(max(step, self._next), min(step + DEPTH, self._phase.num_steps - 1) + 1):
            self._read(ahead)
            self._next = ahead + 1

    def _read(self, step: int) -> None:
        """Decode what the step needs, as much of it as is kept until then."""
        num_bytes = 0
        for crop in self._losses.crops(step)[self._processes.mine]:
            samples = self._losses.train.clips[crop.clip].samples
            if not isinstance(samples, StoredSamples) or not self._losses.reads(crop):
                continue
            num_bytes += samples.clip_bytes
            if num_bytes * (DEPTH + 1) > samples.audio.max_bytes:
                return
            samples.read_ahead()

    def gauges(self) -> dict[str, float]:
        """Averages since the first step, of all ranks; the share of this rank's time that went into waiting for audio; the most
        memory of the card or, on a CPU, of the process."""
        elapsed = max(time.monotonic() - self._started, 1e-9)
        return {
            "clips_per_second": self._num_steps * self._phase.num_clips / elapsed,
            "audio_seconds_per_second": self._num_units * UNIT / SAMPLE_RATE / elapsed,
            "waiting_share": self._losses.train.waited_s / elapsed,
            "peak_memory_gb": _peak_bytes(self._device) / 1e9,
        }


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes but on macOS.
    return peak if sys.platform == "darwin" else peak * 1024
