"""Speech and songs in a voice that is shown: the sample is another clip of the same voice. And speech heard over a sound."""

from bisect import bisect
from collections.abc import Sequence

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Recipe

from uniaudio.tasks.annotations import class_of, words_of
from uniaudio.tasks.filling import lyrics_of, style_of
from uniaudio.tasks.recipes import make_recipe, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Background, Context
from uniaudio_pipelines.annotated_to_instructions.examples import (
    NotBuilt,
    Outcomes,
    example,
    followers,
    in_ring,
    noise_of,
)

SAMPLE_SAMPLES = 72_000
"""Longest sample of a voice (3 s), as the authors crop it (lm.md 4.4)."""
_BACKGROUND_DB = (0.0, 15.0)
"""Range of the level of speech above the sound behind it."""


def in_a_shown_voice(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Speech and songs from clips of one voice, where another clip of it shows the voice."""
    job = context.job
    ring = in_ring(clips)
    for place, clip in enumerate(ring):
        texts = _texts(clip)
        if not texts or context.refusal(clip) or share_of("voice", job.seed, clip.clip_id) >= job.voice_share:
            continue
        voice_clip = next(followers(ring, place), None)
        if voice_clip is None:
            task = min(texts)
            yield NotBuilt(clip.clip_id, task, "no_voice_sample", f"no other clip of the voice in {clip.split}")
            continue
        for task, filled in texts.items():
            clips_used = {"voice": _sample(voice_clip, job.seed), "audio": clip.clip_id}
            yield example(task, clip, job, texts=filled, clips=clips_used)


def _texts(clip: Annotated) -> dict[str, dict[str, str]]:
    """Task -> its texts."""
    texts: dict[str, dict[str, str]] = {}
    if words := words_of(clip):
        texts["prompt_tts"] = {"transcript": words}
        for style in style_of(clip):
            texts["prompt_instruct_tts"] = {"style": style, "transcript": words}
    if clip.domain == "music":
        for lyrics in lyrics_of(clip):
            texts["prompt_lyrics_to_song"] = {"lyrics": lyrics}
    return texts


def _sample(clip: Annotated, seed: int) -> str | Recipe:
    """The clip itself where it is short: it has its tokens anyway."""
    spare = samples_of(clip) - SAMPLE_SAMPLES
    if spare <= 0:
        return clip.clip_id
    first = int(spare * share_of("sample", seed, clip.clip_id))
    return make_recipe("crop", [clip], {"first_sample": first, "num_samples": SAMPLE_SAMPLES})


def over_sounds(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Speech with what is heard behind it, as its caption says or as it is put there."""
    job = context.job
    for clip in clips:
        words = words_of(clip)
        if not words or context.refusal(clip):
            continue
        caption = (clip.caption or "").strip()
        behind = (
            background_of(clip, context)
            if share_of("background", job.seed, clip.clip_id) < job.background_share
            else None
        )
        if caption:
            texts = {"transcript": _with_sound(words, caption)}
            yield example("speech_sound_generation", clip, job, texts=texts, clips={"audio": clip.clip_id})
        elif behind is not None:
            said = behind.clip.caption or class_of(behind.clip) or ""
            clips_used = {"audio": _over(clip, behind, context)}
            texts = {"transcript": _with_sound(words, said.strip())}
            yield example("speech_sound_generation", clip, job, texts=texts, clips=clips_used)


def denoised(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Noisy speech, then clean: half of it over made noise, half over sounds where there are any."""
    job = context.job
    for clip in clips:
        if context.refusal(clip) or share_of("denoise", job.seed, clip.clip_id) >= job.denoise_share:
            continue
        behind = background_of(clip, context) if share_of("real", job.seed, clip.clip_id) < 0.5 else None
        noisy_recipe = make_recipe("add_noise", [clip], noise_of(job.seed, clip.clip_id), seed=job.seed)
        noisy = _over(clip, behind, context) if behind else noisy_recipe
        yield example("speech_denoise", clip, job, clips={"source": noisy, "target": clip.clip_id})


def background_of(clip: Annotated, context: Context) -> Background | None:
    """The same one as long as no sound with a hash between is added."""
    known = context.backgrounds(clip.split)
    if not known:
        return None
    position = int(2**64 * share_of("behind", context.job.seed, clip.clip_id))
    return known[bisect(known, position, key=lambda one: one.own) % len(known)]


def _over(clip: Annotated, behind: Background, context: Context) -> Recipe:
    low, high = _BACKGROUND_DB
    snr_db = round(low + (high - low) * share_of("over", context.job.seed, clip.clip_id), 1)
    return make_recipe("mix", [clip, behind.clip], {"snr_db": snr_db}, seed=context.job.seed)


def _with_sound(words: str, heard: str) -> str:
    return f"{words} [{heard.rstrip('.')}]" if heard else words
