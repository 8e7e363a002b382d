"""Live curves of a run as TensorBoard event files: `tensorboard --logdir data/store/curves`.

    curves/stage1-7f3a91c2/events.out.tfevents.…      loss, rates, speed, waiting, padding, memory by step

They are a view: nothing is read from them, and a run that goes on writes on behind the step that it goes on from.
"""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from uniaudio_schemas.store import Store
from uniaudio_schemas.store.layout import CURVES

from uniaudio.training.run import Progress
from uniaudio_pipelines.running.scratch import ScratchFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_S = 10
"""After which a point is in the file."""


class Curves:
    """Of one run, written by its first rank; in an object store they appear at each `put`."""

    def __init__(self, store: Store, plan_id: str) -> None:
        self._store, self._plan_id = store, plan_id
        self._scratch = None if isinstance(store.root, Path) else ScratchFolder("curves")
        self._root = store.root if isinstance(store.root, Path) else Path(self._scratch.name if self._scratch else "")
        self._writers: dict[str, SummaryWriter] = {}

    def add(self, progress: Progress) -> None:
        """The values and gauges of a step."""
        writer = self._writer(progress)
        for name, value in {**progress.values, **progress.gauges}.items():
            writer.add_scalar(name, value, progress.step)

    def put(self) -> None:
        """What was added is to be seen."""
        for writer in self._writers.values():
            writer.flush()
        if self._scratch is not None:
            for path in sorted(self._root.rglob("events.*")):
                self._store.files.write(path.relative_to(self._root).as_posix(), path.read_bytes())

    def close(self) -> None:
        self.put()
        for writer in self._writers.values():
            writer.close()

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _writer(self, progress: Progress) -> "SummaryWriter":
        if progress.part not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            folder = self._root / CURVES / f"{progress.part}-{self._plan_id[:8]}"
            # Points that a killed run told behind its last checkpoint are told again.
            self._writers[progress.part] = SummaryWriter(str(folder), purge_step=progress.step, flush_secs=_FLUSH_S)
        return self._writers[progress.part]
