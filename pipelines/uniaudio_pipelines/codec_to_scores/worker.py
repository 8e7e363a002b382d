"""One unit to one shard of `codec_scores`."""

from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.codec_to_scores.clips import CodecClips
from uniaudio_pipelines.codec_to_scores.job import MEASURED, CodecToScores
from uniaudio_pipelines.codec_to_scores.outcome import CodecOutcome
from uniaudio_pipelines.codec_to_scores.perplexity import perplexities
from uniaudio_pipelines.codec_to_scores.reconstruction import Reconstructions
from uniaudio_pipelines.codec_to_scores.understanding import understanding
from uniaudio_pipelines.running.edge import ShardResult


class CodecScoreWorker:
    """Reads the codec and hears the clips once, then scores one unit after the other."""

    def __init__(self, store_root: str, job: CodecToScores, plan: Plan) -> None:
        self._clips = CodecClips(store_root, job, plan)
        self._reconstructions = Reconstructions(self._clips)

    def process(self, unit: str) -> ShardResult:
        outcome = CodecOutcome(unit=unit, codec_id=self._clips.row.codec_id)
        part, *names = unit.split("-")
        if part == MEASURED:
            self._reconstructions.measure_shard(outcome, names[0], int(names[1]))
        elif part == "reconstruction":
            self._reconstructions.score(outcome, names[0])
        elif part == "perplexity":
            perplexities(self._clips, outcome, names[0])
        else:
            understanding(self._clips, outcome, *names)
        return ShardResult(
            rows=outcome.scores,
            dropped=outcome.dropped,
            statistics={"audio_s": outcome.audio_s},
            blobs=tuple(outcome.blobs.values()),
        )
