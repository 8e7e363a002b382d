"""One benchmark to one shard of `scores`."""

from collections.abc import Callable

from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.checkpoint_to_scores.answers import captions, recognition
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.likelihood import held_out_losses, perplexities
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.reconstruction import reconstruction
from uniaudio_pipelines.checkpoint_to_scores.speech import speech_from_text
from uniaudio_pipelines.running.edge import ShardResult

BENCHMARKS: dict[str, Callable[[Evaluation, Outcome], None]] = {
    "asr": recognition,
    "audio_caption": captions,
    "music_caption": captions,
    "codec": reconstruction,
    "perplexity": perplexities,
    "tts": speech_from_text,
    "held_out_loss": held_out_losses,
}


class ScoreWorker:
    """Reads the checkpoint once, then scores one benchmark after the other."""

    def __init__(self, store_root: str, job: CheckpointToScores, plan: Plan) -> None:
        self.evaluation = Evaluation(store_root, job, plan)

    def process(self, unit: str) -> ShardResult:
        outcome = Outcome(benchmark=unit, checkpoint_id=self.evaluation.checkpoint.checkpoint_id)
        BENCHMARKS[unit](self.evaluation, outcome)
        statistics = {"audio_s": outcome.audio_s}
        return ShardResult(
            rows=outcome.scores, dropped=outcome.dropped, statistics=statistics, blobs=tuple(outcome.blobs.values())
        )
