"""What a worker tells the outside: checkpoints to Ray Train, where it stands to a file that the driver reads."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from uniaudio.stages.schedule import Schedule
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.processes import Processes
from uniaudio.training.run import Listeners, Progress
from uniaudio_pipelines.ray_training.curves import Curves
from uniaudio_pipelines.ray_training.launch import last_checkpoint
from uniaudio_pipelines.ray_training.run_folder import RunFolder

EVERY_S = 1.0
"""Between two lines of progress."""


class Reporter:
    """One a worker; `parts` are trained one after the other."""

    def __init__(self, run: RunFolder, parts: Sequence[Schedule], curves: Curves) -> None:
        self._run, self._parts, self._curves, self._rank = run, parts, curves, Processes.current().rank
        self._last = 0.0

    def listeners(self) -> Listeners:
        return Listeners(on_checkpoint=self.report, on_progress=self.show, last_checkpoint=last_checkpoint)

    def report(self, state: TrainingState, save: Callable[[Path], None]) -> None:
        """Called on every worker; Ray Train waits for all of them and puts their files together."""
        import ray.train
        from ray.train import Checkpoint

        self._curves.put()
        with self._run.scratch() as scratch:
            folder = scratch / "checkpoint"
            save(folder)
            metrics = {"part": state.part, "step": state.step}
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(str(folder)))

    def show(self, progress: Progress) -> None:
        """Every logged step as a point of the curves, and a line at most once a second and at the end of each part."""
        now = time.monotonic()
        if self._rank != 0:
            return
        earlier = [part.name for part in self._parts].index(progress.part)
        if progress.step % self._parts[earlier].log_every == 0 or progress.step in (1, progress.num_steps):
            self._curves.add(progress)
        if now - self._last < EVERY_S and progress.step < progress.num_steps:
            return
        self._last = now
        done = sum(part.num_steps for part in self._parts[:earlier]) + progress.step
        num_steps = sum(part.num_steps for part in self._parts)
        self._run.write_progress({"line": progress.line(), "step": done, "num_steps": num_steps, "pid": os.getpid()})
