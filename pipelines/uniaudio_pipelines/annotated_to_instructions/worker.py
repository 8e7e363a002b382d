"""One shard of annotated clips to the instructions that its clips allow. Pairs (mixtures, sentences) stay inside a shard and a split."""

from collections.abc import Iterator
from itertools import groupby

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.instructions import Instruction
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Dropped, Store

from uniaudio.tasks import TASKS
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.pairs import mixtures, sentences, stems
from uniaudio_pipelines.edge import ShardResult


class InstructionWorker:
    def __init__(self, store_root: str, job: AnnotatedToInstructions, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        annotated = self._store.head("annotated", job.annotated_ref)
        if annotated is None or annotated.content_id != plan.parents["annotated"]:
            raise UsageError("`annotated` has changed since this job was planned: run the flow again.")
        self._annotated = annotated

    def process(self, unit: str) -> ShardResult:
        shard = next(shard for shard in self._annotated.shards if shard.unit == unit)
        from uniaudio_schemas.record import rows

        clips = list(rows(self._store.table_of_shard(self._annotated, shard), Annotated))
        made: dict[str, Instruction] = {}
        dropped = []
        for clip in clips:
            examples = list(single(clip, self._job))
            if not examples:
                dropped.append(
                    Dropped(
                        row_id=clip.clip_id,
                        reason="no_task",
                        detail=f"{clip.domain} without text or caption",
                        unit=unit,
                    )
                )
            made.update((example.instruction_id, example) for example in examples)
        for example in pairs(clips, self._job):
            made[example.instruction_id] = example
        return ShardResult(rows=list(made.values()), dropped=dropped)


def single(clip: Annotated, job: AnnotatedToInstructions) -> Iterator[Instruction]:
    """The examples of one clip alone."""
    common = {"split": clip.split, "corpus": clip.corpus, "seed": job.seed}
    if clip.domain == "text":
        if clip.text:
            yield TASKS["text_only"].instruction({"text": clip.text}, **common)  # type: ignore[arg-type]
        return
    yield TASKS["audio_only"].instruction({"clip": clip.clip_id}, **common)  # type: ignore[arg-type]
    for name, role, text in _texts(clip, job):
        yield TASKS[name].instruction({"clip": clip.clip_id, role: text}, **common)  # type: ignore[arg-type]


def _texts(clip: Annotated, job: AnnotatedToInstructions) -> Iterator[tuple[str, str, str]]:
    """(task, role, text) of the tasks between this clip and a text. A script goes before what a recognizer heard."""
    transcript = clip.given_text or clip.transcript
    if clip.domain == "speech" and transcript:
        yield "asr", "transcript", transcript
        if (clip.mos or job.min_mos) >= job.min_mos:
            yield "tts", "transcript", transcript
    if clip.domain == "sound" and clip.caption:
        yield "audio_caption", "caption", clip.caption
        yield "text_to_sound", "caption", clip.caption
    if clip.domain == "music" and clip.caption:
        yield "music_caption", "caption", clip.caption
        yield "text_to_music", "caption", clip.caption
    if clip.domain == "music" and clip.lyrics:
        yield "lyric_recognition", "transcript", clip.lyrics
        yield "lyrics_to_song", "lyrics", clip.lyrics


def pairs(clips: list[Annotated], job: AnnotatedToInstructions) -> Iterator[Instruction]:
    """The examples of several clips of one split."""
    for _, group in groupby(sorted(clips, key=lambda clip: (clip.split, clip.clip_id)), key=lambda clip: clip.split):
        same_split = list(group)
        yield from mixtures(same_split, job)
        yield from stems(same_split, job)
        yield from sentences(same_split, job)
