"""One benchmark to one shard of `scores`."""

from collections.abc import Callable
from pathlib import Path

from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.checkpoint_to_scores.declared import TASK_BENCHMARKS
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.job import ANSWERS, SET_PREFIX, CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.likelihood import held_out_losses, losses_beside_chance, perplexities
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.reconstruction import reconstruction
from uniaudio_pipelines.checkpoint_to_scores.sets import set_scores, write_set_answers
from uniaudio_pipelines.checkpoint_to_scores.starter import starter_scores
from uniaudio_pipelines.checkpoint_to_scores.tasks import task_scores, write_answers
from uniaudio_pipelines.checkpoint_to_scores.tools import Models
from uniaudio_pipelines.running.edge import ShardResult
from uniaudio_pipelines.running.scratch import ScratchFolder

OF_NO_TASK: dict[str, Callable[[Evaluation, Outcome], None]] = {
    "codec": reconstruction,
    "perplexity": perplexities,
    "held_out_loss": held_out_losses,
    "beside_chance": losses_beside_chance,
}


class ScoreWorker:
    """Reads the checkpoint once, then scores one benchmark after the other."""

    def __init__(self, store_root: str, job: CheckpointToScores, plan: Plan) -> None:
        self.evaluation = Evaluation(store_root, job, plan)
        self._models = Models(job.models)

    def process(self, unit: str) -> ShardResult:
        # Held until the next unit: what the edge stages lies there.
        self._scratch = scratch = ScratchFolder("scores")
        outcome = Outcome(
            benchmark=unit, checkpoint_id=self.evaluation.checkpoint.checkpoint_id, folder=Path(scratch.name)
        )
        if unit.startswith(ANSWERS):
            self._answer(outcome, unit.removeprefix(ANSWERS))
        elif unit.startswith(SET_PREFIX):
            set_scores(self.evaluation, outcome, self._models, unit.removeprefix(SET_PREFIX))
        elif unit in TASK_BENCHMARKS:
            task_scores(self.evaluation, outcome, self._models)
        elif unit == "starter":
            starter_scores(self.evaluation, outcome, self._models)
        else:
            OF_NO_TASK[unit](self.evaluation, outcome)
        return ShardResult(
            rows=outcome.scores,
            dropped=outcome.dropped,
            statistics={"audio_s": outcome.audio_s},
            blobs=tuple(outcome.blobs.values()),
            scratch=Path(scratch.name),
        )

    def _answer(self, outcome: Outcome, unit: str) -> None:
        if unit.startswith(SET_PREFIX):
            name, _, shard = unit.removeprefix(SET_PREFIX).rpartition("-")
            first = int(shard) * self.evaluation.job.shard_size
            write_set_answers(self.evaluation, name, first, first + self.evaluation.job.shard_size)
        else:
            write_answers(self.evaluation, outcome, self.evaluation.job.answer_units()[f"{ANSWERS}{unit}"])
