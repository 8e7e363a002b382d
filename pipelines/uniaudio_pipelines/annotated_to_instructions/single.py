"""Examples of one clip alone: of every task whose declaration says how a clip fills it, and its pieces."""

import re

from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.tasks import TASKS, Task, sentences
from uniaudio.tasks.annotations import TRAIN, captions_of, words_of
from uniaudio.tasks.recipes import share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    example,
    has_audio,
)
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

_ALONE = [task for task in TASKS.values() if task.of_clip is not None]
_CAPTIONED = {"sound": "audio_caption", "music": "music_caption"}
_NUM_PIECES = (2, 4)


def of_one_clip(clip: Annotated, context: Context) -> Outcomes:
    """Every example that the clip gives by itself, and why it gives no more."""
    job = context.job
    if clip.domain != "text" and not has_audio(clip):
        yield NotBuilt(clip.clip_id, "audio_only", "no_audio", f"{clip.num_samples} samples at {clip.sample_rate} Hz")
        return
    yield from _why_not(clip, context)
    may_be_target = context.refusal(clip) is None
    for task in _ALONE:
        if may_be_target or task.name == "audio_only" or not writes_audio(task):
            yield from _of_task(task, clip, job)
    yield from _pieces(clip, job)


def writes_audio(task: Task) -> bool:
    """Whether the model learns to make a sound of it."""
    return any(slot.loss and slot.kind == "reconstruction" for slot in task.order)


def _of_task(task: Task, clip: Annotated, job: AnnotatedToInstructions) -> Outcomes:
    filling = task.of_clip
    assert filling is not None
    if filling.is_sampled and share_of(task.name, job.seed, clip.clip_id) >= job.codes_share:
        return
    is_text = clip.domain == "text"
    clips = {slot.name: clip.clip_id for slot in task.order if slot.kind != "text"}
    for texts in filling.fillings(clip):
        yield example(task.name, clip, job, texts=texts, clips=clips, sources=[clip.clip_id] if is_text else [])


def _why_not(clip: Annotated, context: Context) -> Outcomes:
    """What the clip lacks that clips of its domain should have."""
    if clip.domain == "text" and not (clip.text or "").strip():
        yield NotBuilt(clip.clip_id, "text_only", "no_text", "the passage is empty")
    if clip.domain in _CAPTIONED and not captions_of(clip):
        yield NotBuilt(clip.clip_id, _CAPTIONED[clip.domain], "no_caption", "nobody says what is heard")
    if clip.domain == "speech":
        if not words_of(clip):
            yield NotBuilt(clip.clip_id, "asr", *_why_no_words(clip))
        if (refusal := context.refusal(clip)) is not None:
            yield NotBuilt(clip.clip_id, "tts", *refusal)


def _why_no_words(clip: Annotated) -> tuple[str, str]:
    if clip.transcript and clip.split != TRAIN:
        return "no_given_text", "held out, and a transcript is no reference"
    if clip.transcript and clip.rejections:
        word = re.sub(r"[^a-z0-9]+", "_", clip.rejections[0].casefold())
        return f"rejected_{word}", f"the transcript is not trained on: {', '.join(clip.rejections)}"
    return "no_text", "nobody says what is spoken: no recognition, no synthesis"


def _pieces(clip: Annotated, job: AnnotatedToInstructions) -> Outcomes:
    """A whole recording, piece after piece."""
    is_whole = has_audio(clip) and clip.clip_id == clip.raw_clip_id
    if is_whole and share_of("pieces", job.seed, clip.clip_id) < job.piece_share:
        least, most = _NUM_PIECES
        num_pieces = least + int((most - least + 1) * share_of("count", job.seed, clip.clip_id))
        instruction = sentences.consecutive_pieces(clip, num_pieces, job.max_sentence_positions)
        if instruction is not None:
            yield Built(clip, instruction)
