"""A run of training under Ray Train: the group of workers, what ends it, and its errors as one line each."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import StoreError, UniaudioError
from uniaudio_schemas.store.files import disk_error

from uniaudio_pipelines.ray_training.keeping import Keeping
from uniaudio_pipelines.ray_training.run_folder import RUN, RunFolder

if TYPE_CHECKING:
    from ray.train import Result, UserCallback
    from ray.train.torch import TorchTrainer

log = logging.getLogger(__name__)
WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Read when torch is loaded. Threads that spin while they wait made a stage six times slower on cores shared with other
processes; results are the same."""
ALLOCATOR_ENVIRONMENT = {"MALLOC_CONF": "dirty_decay_ms:3000,muzzy_decay_ms:3000"}
"""jemalloc gives freed memory back to the system after three seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerGroup:
    """The processes that train together."""

    num_workers: int
    min_workers: int = 0
    """Where fewer than `num_workers` find room, the run goes on with as many as do, down to these; 0 waits for all."""
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    """GPUs of each worker."""
    device: str = "cpu"
    max_failures: int = 3
    """Times it may die before the run gives up; -1: as often as it does. What the next one would meet again ends the run at once."""

    def size(self) -> int | tuple[int, int]:
        return (self.min_workers, self.num_workers) if self.min_workers else self.num_workers


def run_training(
    run: RunFolder,
    worker: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    group: WorkerGroup,
    keeping: Keeping,
) -> None:
    """Run `worker(config)` in every process of the group until the final folder is there; goes on from the last checkpoint of an
    earlier run of the same plan. `config` holds plain values: what a worker on another machine needs."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    if run.has_final():
        return
    storage_path, filesystem = run.storage()
    resources = {"CPU": group.num_cpus, **({"GPU": group.num_gpus} if group.num_gpus else {})}
    trainer = TorchTrainer(
        worker,
        train_loop_config=config,
        # Named, since Ray takes NCCL wherever a GPU is reserved; gloo beside it carries what lies on the CPU.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if group.device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=group.size(),  # type: ignore[arg-type]  # Ray Train v2 takes a range, its stub is v1's
            use_gpu=group.num_gpus > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=RUN,
            storage_path=storage_path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=group.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=keeping.last),
            callbacks=[_failures(group.max_failures)],  # type: ignore[list-item]  # of v2 as well
            worker_runtime_env={"env_vars": worker_environment(group.device)},  # type: ignore[call-arg]  # of v2 as well
        ),
    )
    result = fit(trainer, run.place)
    if not run.has_final():
        raise StoreError(f"{run.place}: Ray Train ended without a result ({result.error}).")


def worker_environment(device: str) -> dict[str, str]:
    """Environment of the workers. On a CPU they take jemalloc where it is installed: batches of many lengths leave holes in glibc's heap, which
    grew by 0.8 GB in 300 steps of `starter`, and a step takes a fifth longer. A node that lacks it says so and goes on without."""
    allocator = find_library("jemalloc") if device == "cpu" else None
    return {**WORKER_ENVIRONMENT, **({"LD_PRELOAD": allocator, **ALLOCATOR_ENVIRONMENT} if allocator else {})}


def _failures(max_failures: int) -> "UserCallback":
    """Ray Train tries the group again whatever ended it: each failure is a warning in the log, with its number, and an error of ours
    ends the run, as does any error of the callback, in the controller."""
    from ray.train import UserCallback

    class Failures(UserCallback):
        count = 0

        def after_exception(self, run_context: object, worker_exceptions: dict[int, Exception]) -> None:
            self.count += 1
            most = "no limit" if max_failures < 0 else f"`max_failures` {max_failures}"
            causes = "; ".join(f"rank {rank}: {_summary(error)}" for rank, error in sorted(worker_exceptions.items()))
            log.warning("failure %d of the workers (%s): %s", self.count, most, causes)
            for _, error in sorted(worker_exceptions.items()):
                # A store that cannot do it now may be able to later.
                if isinstance(error, UniaudioError) and not isinstance(error, StoreError):
                    raise error

    return Failures()


@contextmanager
def last_checkpoint() -> Iterator[Path | None]:
    """Folder that a worker goes on from; None at the start of a run."""
    import ray.train

    last = ray.train.get_checkpoint()
    if last is None:
        yield None
        return
    with last.as_directory() as folder:
        yield Path(folder)


def fit(trainer: "TorchTrainer", place: str) -> "Result":
    """`trainer.fit()`, its failure as one line: the `UniaudioError` of a worker as itself, a full disk under `place`, or a
    `StoreError` with what ended the run."""
    from ray.train import TrainingFailedError

    try:
        return trainer.fit()
    except TrainingFailedError as error:
        raise _in_one_line(error, place) from error


def _in_one_line(error: Exception, place: str) -> UniaudioError:
    causes = [cause for _, cause in sorted(getattr(error, "worker_failures", {}).items())]
    causes = causes or [getattr(error, "controller_failure", error)]
    for cause in causes:
        translated = cause if isinstance(cause, UniaudioError) else disk_error(cause, place)
        if translated is not None:
            return translated
    return StoreError(f"{place}: training ended by {_summary(causes[0])}")


def _summary(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
