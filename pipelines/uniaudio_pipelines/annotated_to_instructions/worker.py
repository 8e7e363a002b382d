"""One shard of annotated clips to the instructions that its clips allow.

An example of several clips goes into the shard of one of them, and its partners come from the whole corpus: what is
built does not depend on how the clips are cut into shards. Memory: the annotations of one corpus, without words and
embeddings.
"""

import pyarrow.compute as pc
from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Dropped, Store

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.tasks.recipes import positions_of, samples_of
from uniaudio.tasks.sentences import GROUP
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcome, has_audio
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.several import of_several_clips
from uniaudio_pipelines.annotated_to_instructions.single import of_one_clip
from uniaudio_pipelines.edge import ShardResult

_UNREAD = {"words", "speaker_embedding", "annotations"}
_COLUMNS = [name for name in Annotated.__dataclass_fields__ if name not in _UNREAD]


class InstructionWorker:
    def __init__(self, store_root: str, job: AnnotatedToInstructions, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        self._annotated = self._store.version_with("annotated", plan.parents["annotated"])
        self._corpora: dict[str, _Corpus] = {}

    def process(self, unit: str) -> ShardResult:
        clip_ids: dict[str, set[str]] = {}
        for shard in self._annotated.shards:
            if shard.unit == unit:
                table = self._store.table_of_shard(self._annotated, shard)
                for clip_id, corpus in zip(table["clip_id"].to_pylist(), table["corpus"].to_pylist(), strict=True):
                    clip_ids.setdefault(corpus, set()).add(clip_id)
        outcomes = [
            outcome
            for name, owned in sorted(clip_ids.items())
            for outcome in self._corpus(name).outcomes
            if outcome.anchor in owned
        ]
        made = [outcome.instruction for outcome in outcomes if isinstance(outcome, Built)]
        dropped = [
            Dropped(row_id=outcome.anchor, reason=outcome.reason, detail=outcome.detail, unit=unit)
            for outcome in outcomes
            if isinstance(outcome, NotBuilt)
        ]
        samples = {clip: count for name in clip_ids for clip, count in self._corpus(name).num_samples.items()}
        heard = {clip: count for row in made for clip, count in _clips_of(row, samples).items()}
        return ShardResult(rows=made, dropped=dropped, statistics={"audio_s": sum(heard.values()) / SAMPLE_RATE})

    def _corpus(self, name: str) -> "_Corpus":
        if name not in self._corpora:
            table = self._store.read(self._annotated, columns=_COLUMNS)
            trained = pc.drop_null(table.filter(pc.equal(table["split"], "train"))["duplicate_cluster"])
            chosen = table.filter(pc.equal(table["corpus"], name))
            clips = [Annotated(**values) for values in chosen.to_pylist()]
            self._corpora = {name: _Corpus(clips, frozenset(trained.to_pylist()), self._job)}
        return self._corpora[name]


class _Corpus:
    """Everything that one corpus gives."""

    def __init__(self, clips: list[Annotated], trained: frozenset[str], job: AnnotatedToInstructions) -> None:
        """`trained`: duplicate clusters of the training clips of all corpora."""
        copies = [clip for clip in clips if clip.split != "train" and clip.duplicate_cluster in trained]
        left_out = {clip.clip_id for clip in copies}
        clips = sorted((clip for clip in clips if clip.clip_id not in left_out), key=lambda clip: clip.clip_id)
        self.num_samples = {clip.clip_id: samples_of(clip) for clip in clips if has_audio(clip)}
        self._job = job
        found: dict[str, Outcome] = {}
        """Equal examples (two clips that chose each other) are one."""
        several = list(of_several_clips(clips, job))
        for outcome in [*(outcome for clip in clips for outcome in of_one_clip(clip, job)), *several]:
            key = outcome.instruction.instruction_id if isinstance(outcome, Built) else repr(outcome)
            found.setdefault(key, self._if_short(outcome))
        self.outcomes: list[Outcome] = [
            NotBuilt(clip.clip_id, "copy", f"{clip.split}, but trained on too") for clip in copies
        ]
        self.outcomes += found.values()

    def _if_short(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, NotBuilt):
            return outcome
        row = outcome.instruction
        limit = self._job.max_sentence_positions if row.mixture == GROUP else self._job.max_positions
        needed = positions_of(row, self.num_samples)
        if needed <= limit:
            return outcome
        return NotBuilt(outcome.anchor, "too_long", f"{row.task}: about {needed} positions, at most {limit}")


def _clips_of(row: Instruction, num_samples: dict[str, int]) -> dict[str, int]:
    """The clips that an example needs tokens of, and their lengths at 24 kHz."""
    made = {recipe.clip_id: recipe.num_samples for recipe in row.recipes}
    used = {segment.clip_id for segment in row.segments if segment.clip_id}
    return {clip: made.get(clip) or num_samples[clip] for clip in sorted(used)}
