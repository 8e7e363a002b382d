"""What a training worker tells the outside: checkpoints to Ray Train, its step to a file that the driver reads."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.state import TrainingState
from uniaudio_pipelines.run_folder import RunFolder

_EVERY_S = 1.0


class Reporter:
    """One a worker; only rank 0 writes."""

    def __init__(self, run: RunFolder, phases: Sequence[CodecPhase], rank: int) -> None:
        self._run, self._phases, self._rank = run, phases, rank
        self._last = 0.0

    def checkpoint(self, state: TrainingState, save: Callable[[Path], None]) -> None:
        """Called on every worker: Ray Train waits for all of them."""
        import ray.train
        from ray.train import Checkpoint

        metrics = {"phase": self._phases[state.phase_index].name, "step": state.step}
        if self._rank != 0:
            ray.train.report(metrics)
            return
        with self._run.scratch() as folder:
            save(folder / "checkpoint")
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(str(folder / "checkpoint")))

    def step(self, state: TrainingState) -> None:
        """At most once a second, and at the end of each phase."""
        phase = self._phases[state.phase_index]
        now = time.monotonic()
        if self._rank != 0 or (now - self._last < _EVERY_S and state.step < phase.num_steps):
            return
        self._last = now
        done = sum(earlier.num_steps for earlier in self._phases[: state.phase_index]) + state.step
        held_out = [metric.value for metric in state.metrics if metric.name == "held_out_loss"]
        line = f"{phase.name} {state.step}/{phase.num_steps} steps, held-out loss {held_out[-1]:.3f}"
        num_steps = sum(one.num_steps for one in self._phases)
        shown = {"line": line, "step": done, "num_steps": num_steps, "pid": os.getpid()}
        self._run.write_progress(shown)
