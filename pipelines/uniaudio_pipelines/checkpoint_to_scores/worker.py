"""One benchmark to one shard of `scores`."""

from collections.abc import Callable

from uniaudio_schemas.store.manifest import Plan

from uniaudio.tasks import TASKS
from uniaudio_pipelines.checkpoint_to_scores.declared import TASK_BENCHMARKS
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.job import ANSWERS, SET_PREFIX, CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.likelihood import held_out_losses, losses_beside_chance, perplexities
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.reconstruction import reconstruction
from uniaudio_pipelines.checkpoint_to_scores.sets import set_scores
from uniaudio_pipelines.checkpoint_to_scores.tasks import task_scores, write_answers
from uniaudio_pipelines.checkpoint_to_scores.tools import Models
from uniaudio_pipelines.running.edge import ShardResult

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
        outcome = Outcome(benchmark=unit, checkpoint_id=self.evaluation.checkpoint.checkpoint_id)
        task, _, shard = unit.partition(ANSWERS)
        if shard:
            write_answers(self.evaluation, outcome, TASKS[task], int(shard))
        elif unit.startswith(SET_PREFIX):
            set_scores(self.evaluation, outcome, self._models, unit.removeprefix(SET_PREFIX))
        elif unit in TASK_BENCHMARKS:
            task_scores(self.evaluation, outcome, self._models)
        else:
            OF_NO_TASK[unit](self.evaluation, outcome)
        statistics = {"audio_s": outcome.audio_s}
        return ShardResult(
            rows=outcome.scores, dropped=outcome.dropped, statistics=statistics, blobs=tuple(outcome.blobs.values())
        )
