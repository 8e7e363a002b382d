"""Live curves of a run as TensorBoard event files: `tensorboard --logdir data/store/curves`.

    curves/stage1-7f3a91c2/events.out.tfevents.…      losses, rates, speed, waiting, padding, memory by step
    curves/wandb/offline-run-…                        the same for Weights & Biases, where a project is named

They are a view: nothing is read from them. A run that goes on, or goes back, writes on behind the step that it goes on from:
what was told behind it is told again.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from uniaudio_schemas.store import Store
from uniaudio_schemas.store.layout import CURVES

from uniaudio_pipelines.running.scratch import ScratchFolder

_FLUSH_S = 10
"""Seconds after which a point is in the file."""


class Curves:
    """Curves of one run, written by its first rank. In an object store they appear at each `put`."""

    def __init__(self, store: Store, plan_id: str, *, wandb_project: str = "") -> None:
        self._store, self._plan_id, self._wandb_project = store, plan_id, wandb_project
        self._scratch = None if isinstance(store.root, Path) else ScratchFolder("curves")
        self._root = store.root if isinstance(store.root, Path) else Path(self._scratch.name if self._scratch else "")
        self._views: dict[str, list[_TensorBoard | _Wandb]] = {}
        self._reached: dict[str, int] = {}

    def reach(self, part: str, step: int) -> None:
        """Called at every step. A step that was there before takes away the points behind it."""
        if step <= self._reached.get(part, -1):
            for view in self._views.pop(part, []):
                view.close()
        self._reached[part] = step

    def add(self, part: str, step: int, values: Mapping[str, float]) -> None:
        """Values of a step that was reached."""
        if part not in self._views:
            self._views[part] = [_TensorBoard(self._folder(part), step)]
            if self._wandb_project:
                folder = self._root / CURVES
                self._views[part].append(_Wandb(folder, self._wandb_project, part, self._plan_id))
        for view in self._views[part]:
            view.add(step, values)

    def put(self) -> None:
        """What was added is to be seen. May be called from another thread."""
        for view in [view for views in list(self._views.values()) for view in views]:
            view.flush()
        if self._scratch is not None:
            for path in sorted([*self._root.rglob("events.*"), *self._root.rglob("*.wandb")]):
                self._store.files.write(path.relative_to(self._root).as_posix(), path.read_bytes())

    def close(self) -> None:
        self.put()
        for views in self._views.values():
            for view in views:
                view.close()

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _folder(self, part: str) -> Path:
        return self._root / CURVES / f"{part}-{self._plan_id[:8]}"


class _TensorBoard:
    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step, flush_secs=_FLUSH_S)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """A run of Weights & Biases: its points cannot be taken back, so that each going on is a run of its own in one group."""

    def __init__(self, folder: Path, project: str, part: str, plan_id: str) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        name = f"{part}-{plan_id[:8]}"
        self._run: Any = wandb.init(
            project=project,
            group=name,
            name=name,
            job_type=part,
            dir=str(folder),
            config={"plan_id": plan_id},
            reinit="create_new",
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def flush(self) -> None:
        """Does nothing, since wandb sends points by itself."""

    def close(self) -> None:
        self._run.finish()
