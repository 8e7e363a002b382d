"""Examples of one clip alone."""

from collections.abc import Iterator
from functools import partial

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction

from uniaudio.tasks import TASKS, sentences
from uniaudio.tasks.recipes import make_recipe, share_of
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    has_audio,
    is_target,
    noise_of,
)
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.texts import TRAIN, words_of

_CANTONESE = "yue"
_CAPTIONED = {"sound": ("audio_caption", "text_to_sound"), "music": ("music_caption", "text_to_music")}
_NUM_PIECES = (2, 4)


def of_one_clip(clip: Annotated, job: AnnotatedToInstructions) -> Outcomes:
    """Every example that the clip gives by itself, and why it gives no more."""
    if clip.domain == "text":
        yield from _of_text(clip, job)
        return
    if not has_audio(clip):
        yield NotBuilt(clip.clip_id, "audio_only", "no_audio", f"{clip.num_samples} samples at {clip.sample_rate} Hz")
        return
    yield Built(clip, _make(clip, job, "audio_only", {}))
    if clip.domain == "speech":
        yield from _of_speech(clip, job)
    if clip.domain in _CAPTIONED:
        yield from _of_caption(clip, job)
    lyrics = (clip.lyrics or "").strip()
    for task in ("lyric_recognition", "lyrics_to_song") if lyrics else ():
        yield Built(clip, _make(clip, job, task, {"lyrics": lyrics}))
    yield from _pieces(clip, job)


def _make(clip: Annotated, job: AnnotatedToInstructions, task: str, texts: dict[str, str]) -> Instruction:
    return TASKS[task].instruction(
        texts=texts,
        clips={"audio": clip.clip_id},
        corpus=clip.corpus,
        split=clip.split,
        seed=job.seed,
        language=clip.language or "en",
    )


def _of_text(clip: Annotated, job: AnnotatedToInstructions) -> Outcomes:
    passage = (clip.text or "").strip()
    if not passage:
        yield NotBuilt(clip.clip_id, "text_only", "no_text", "the passage is empty")
        return
    make = partial(TASKS["text_only"].instruction, corpus=clip.corpus, split=clip.split, seed=job.seed)
    yield Built(clip, make(texts={"passage": passage}, sources=[clip.clip_id]))


def _of_speech(clip: Annotated, job: AnnotatedToInstructions) -> Outcomes:
    words = words_of(clip)
    prefix = "cantonese_" if clip.language == _CANTONESE else ""
    is_good = is_target(clip, job.min_mos)
    if words:
        yield Built(clip, _make(clip, job, f"{prefix}asr", {"transcript": words}))
        if is_good:
            yield Built(clip, _make(clip, job, f"{prefix}tts", {"transcript": words}))
    else:
        yield NotBuilt(clip.clip_id, "asr", *_why_no_words(clip))
    if not is_good:
        yield NotBuilt(clip.clip_id, "tts", "low_mos", f"DNSMOS {clip.mos:.2f}, at least {job.min_mos}: no target")
    elif share_of("denoise", job.seed, clip.clip_id) < job.denoise_share:
        yield Built(clip, _denoise(clip, job))


def _why_no_words(clip: Annotated) -> tuple[str, str]:
    if clip.transcript and clip.split != TRAIN:
        return "no_given_text", "held out, and a transcript is no reference"
    if clip.transcript and clip.rejections:
        return f"rejected_{clip.rejections[0]}", f"the transcript is not trained on: {', '.join(clip.rejections)}"
    return "no_text", "nobody says what is spoken: no recognition, no synthesis"


def _denoise(clip: Annotated, job: AnnotatedToInstructions) -> Instruction:
    noisy = make_recipe("add_noise", [clip], noise_of(job.seed, clip.clip_id), seed=job.seed)
    return TASKS["speech_denoise"].instruction(
        clips={"source": noisy, "target": clip.clip_id},
        corpus=clip.corpus,
        split=clip.split,
        seed=job.seed,
        language=clip.language or "en",
    )


def _of_caption(clip: Annotated, job: AnnotatedToInstructions) -> Iterator[Built | NotBuilt]:
    caption = (clip.caption or "").strip()
    if not caption:
        yield NotBuilt(clip.clip_id, _CAPTIONED[clip.domain][0], "no_caption", "nobody says what is heard")
        return
    for task in _CAPTIONED[clip.domain]:
        yield Built(clip, _make(clip, job, task, {"caption": caption}))


def _pieces(clip: Annotated, job: AnnotatedToInstructions) -> Outcomes:
    """A whole recording, piece after piece."""
    if clip.clip_id == clip.raw_clip_id and share_of("pieces", job.seed, clip.clip_id) < job.piece_share:
        least, most = _NUM_PIECES
        num_pieces = least + int((most - least + 1) * share_of("count", job.seed, clip.clip_id))
        made = sentences.consecutive_pieces(clip, num_pieces, job.max_sentence_positions)
        if made is not None:
            yield Built(clip, made)
