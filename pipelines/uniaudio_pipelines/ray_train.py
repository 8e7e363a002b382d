"""What the two training edges share of Ray Train: an error of ours in a worker stays an error that a user can read."""

from typing import TYPE_CHECKING

from uniaudio_schemas.errors import StoreError, UniaudioError
from uniaudio_schemas.store.files import disk_error

if TYPE_CHECKING:
    from ray.train import Result
    from ray.train.torch import TorchTrainer


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
        told = cause if isinstance(cause, UniaudioError) else disk_error(cause, place)
        if told is not None:
            return told
    lines = str(causes[0]).strip().splitlines() or [""]
    return StoreError(f"{place}: training ended by {type(causes[0]).__name__}: {lines[0]}")
