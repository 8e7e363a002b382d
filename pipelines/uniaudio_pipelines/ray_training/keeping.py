"""What is kept of a run of training and who is told of it, as jobs say it. Light: neither torch nor ray."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from uniaudio_schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """Which training checkpoints stay when later ones are there: the last ones, which the run may go on from; the others as copies
    beside it, which stay when it has ended."""

    last: int = 2
    every: int = 0
    """Every so many-th checkpoint of a part is kept; 0 keeps none for its number."""
    best: int = 0
    """So many checkpoints with the lowest held-out loss of their part are kept; 0 keeps none for its loss."""

    def check(self) -> None:
        """Fields of a job are called `keep_last`, `keep_every`, `keep_best`."""
        for name, least in (("last", 1), ("every", 0), ("best", 0)):
            value = getattr(self, name)
            if value < least:
                raise UsageError(f"`keep_{name}` must be {least} or more, but is {value}.")

    def beside(self, steps: Collection[int], losses: Mapping[int, float], checkpoint_every: int) -> set[int]:
        """Which of `steps` (checkpoints of one part) have a copy; `losses`: step -> held-out loss, where there is one."""
        nth = {step for step in steps if self.every and step % (self.every * checkpoint_every) == 0}
        ranked = sorted((step for step in steps if step in losses), key=lambda step: (losses[step], step))
        return nth | set(ranked[: self.best])


def check_wandb(project: str) -> None:
    if project and find_spec("wandb") is None:
        raise UsageError(
            f"`wandb_project` must be empty where wandb is not installed, but is {project}: `pip install wandb`."
        )
