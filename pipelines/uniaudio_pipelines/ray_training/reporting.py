"""What a worker tells the outside: checkpoints and values to Ray Train, where it stands to a file that the driver reads.

A step waits while a checkpoint is copied in memory. Writing, upload and what is kept beside it are the work of Ray Train's own
thread; only when all workers have written theirs is it one that a run goes on from.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import StoreError

from uniaudio.stages.schedule import Schedule
from uniaudio.training.checkpoint import Checkpoint, TrainingState
from uniaudio.training.processes import Processes
from uniaudio.training.run import HELD_OUT_LOSS, Listeners, Progress
from uniaudio_pipelines.ray_training.curves import Curves
from uniaudio_pipelines.ray_training.keeping import Keeping
from uniaudio_pipelines.ray_training.launch import last_checkpoint
from uniaudio_pipelines.ray_training.run_folder import RunFolder
from uniaudio_pipelines.running.gauges import Gauges

if TYPE_CHECKING:
    from ray.train import Checkpoint as Reported

EVERY_S = 1.0
"""Seconds between two lines of progress."""


class Reporter:
    """One a worker; `parts` are trained one after the other."""

    def __init__(
        self, run: RunFolder, parts: Sequence[Schedule], curves: Curves, keeping: Keeping, gauges: Gauges
    ) -> None:
        self._run, self._parts, self._curves, self._keeping = run, {part.name: part for part in parts}, curves, keeping
        self._gauges = gauges
        self._values: dict[str, float] = {}
        """The values of the last step, its held-out losses included."""
        self._rank = Processes.current().rank
        self._told_at = 0.0
        # A disk syncs what it is told, and an object store is far away: no step waits for either.
        self._teller = ThreadPoolExecutor(1)
        self._told: Future[None] | None = None
        self._written = threading.Event()
        self._written.set()
        self._last: Reported | None = None
        self.steps_by_world_size: dict[str, int] = {}
        """Number of workers -> steps trained with it, of all parts; filled when the last part has ended."""

    def listeners(self, *, hold_out_every: int = 0, checkpoint_every: int = 0) -> Listeners:
        return Listeners(
            hold_out_every=hold_out_every,
            checkpoint_every=checkpoint_every,
            on_checkpoint=self.report,
            on_progress=self.show,
            on_held_out=self.show_held_out,
            on_end=self.note_end,
            last_checkpoint=self.last_checkpoint,
        )

    def report(self, state: TrainingState, save: Checkpoint) -> None:
        """Report a checkpoint. It is called on every worker, whose files Ray Train puts together. One checkpoint is written at a time."""
        import ray.train
        from ray.train import CheckpointUploadMode

        self._written.wait()
        write = partial(self._write, save.copied(), state.part, state.step, _held_out_losses(state))
        self._written.clear()
        ray.train.report(
            {**self._values, "part": state.part, "step": state.step},
            # Stands for what `write` returns: there are no files yet.
            checkpoint=ray.train.Checkpoint.from_directory(os.devnull),
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            checkpoint_upload_fn=write,
            delete_local_checkpoint_after_upload=False,
        )

    def _write(
        self, copy: Checkpoint, part: str, step: int, losses: dict[int, float], _: "Reported", name: str
    ) -> "Reported":
        import ray.train

        try:
            self._curves.put()
            with self._run.new_checkpoint(name) as folder:
                copy(folder)
            copy.wait_for_all()
            if self._rank == 0:
                self._keep(name, part, step, losses)
            storage = ray.train.get_context().get_storage()
            path = f"{storage.experiment_fs_path}/{name}"
            self._last = ray.train.Checkpoint(path, filesystem=storage.storage_filesystem)
            return self._last
        finally:
            self._written.set()

    def _keep(self, name: str, part: str, step: int, losses: dict[int, float]) -> None:
        kept_steps = self._run.kept(part)
        wanted_steps = self._keeping.beside({*kept_steps, step}, losses, self._parts[part].checkpoint_every)
        if step in wanted_steps:
            self._run.keep(name, part, step)
        for other in sorted(kept_steps - wanted_steps):
            self._run.let_go(part, other)

    @contextmanager
    def last_checkpoint(self) -> Iterator[Path | None]:
        """The folder to go back to; waits for one that is being written."""
        self._written.wait()
        if self._last is None:
            with last_checkpoint() as folder:
                yield folder
            return
        with self._last.as_directory() as folder:
            yield Path(folder)

    def show(self, progress: Progress) -> None:
        """Show every logged step as a point of the curves and as metrics of Ray, and a line at most once a second and at the end of
        each part."""
        self._values = {**progress.values, **progress.gauges}
        now = time.monotonic()
        if self._rank != 0:
            return
        self._curves.reach(progress.part, progress.step)
        if progress.step % self._parts[progress.part].log_every == 0 or progress.step in (1, progress.num_steps):
            self._show_values(progress.part, progress.step, self._values)
        is_due = now - self._told_at >= EVERY_S and (self._told is None or self._told.done())
        if not is_due and progress.step < progress.num_steps:
            return
        self._told_at = now
        names = list(self._parts)
        earlier = [self._parts[name] for name in names[: names.index(progress.part)]]
        done = sum(part.num_steps for part in earlier) + progress.step
        num_steps = sum(part.num_steps for part in self._parts.values())
        state = {"line": progress.line(), "step": done, "num_steps": num_steps, "pid": os.getpid()}
        self._told = self._teller.submit(self._tell, state)

    def _tell(self, state: dict[str, Any]) -> None:
        # A view of the work may miss a second of it.
        with suppress(StoreError):
            self._run.write_progress(state)

    def note_end(self, state: TrainingState) -> None:
        """Nothing is written any more when a part has ended: its folder may go, its curves are closed."""
        self._written.wait()
        if self._told is not None:
            self._told.result()
        self.steps_by_world_size = dict(state.steps_by_world_size)

    def show_held_out(self, part: str, step: int, losses: Mapping[str, float]) -> None:
        self._values |= losses
        if self._rank == 0:
            self._show_values(part, step, losses)

    def _show_values(self, part: str, step: int, values: Mapping[str, float]) -> None:
        self._curves.add(part, step, values)
        self._gauges.tell_training(part, values)


def _held_out_losses(state: TrainingState) -> dict[int, float]:
    """Step of this part -> mean held-out loss, of all tasks."""
    losses_by_step: dict[int, list[float]] = {}
    for point in state.points:
        if point.part == state.part and point.name.startswith(HELD_OUT_LOSS):
            losses_by_step.setdefault(point.step, []).append(point.value)
    return {step: fmean(values) for step, values in losses_by_step.items()}
