"""Pairs of answers of which one is worse, as annotations and measures say; nobody is asked which one is liked.

preferred_asr                    what the source says is spoken, and what a recognizer, or a checkpoint (`answers`), heard instead
preferred_audio_understanding    the clip's own value, and a value of another clip that the question offers too
preferred_audio_caption, preferred_music_caption    the clip's own caption, and that of a clip with which it shares no word
preferred_tts                    the clip, and: it under noise, or cut off, or speech that says something else
"""

from collections.abc import Iterator, Mapping, Sequence

from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Recipe

from uniaudio.metrics.wer import disagreement
from uniaudio.tasks.annotations import kinds_of, letters_of, words_of
from uniaudio.tasks.filling import described, is_plain_speech
from uniaudio.tasks.preference import REJECTED, request_of
from uniaudio.tasks.questions import attributes_of, choice_question
from uniaudio.tasks.recipes import make_recipe, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.answers import answers_about
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    example,
    followers,
    in_ring,
    language_of,
)
from uniaudio_pipelines.annotated_to_instructions.questions import MAX_DISTRACTORS, wrong_values

MAX_DISAGREEMENT = 0.5
"""Share of words; where a recognizer heard something else altogether the script may be the wrong one."""
MAX_SNR_DB = 10.0
"""Highest level of speech above the noise; the lowest is 0 dB."""
KEPT = (0.3, 0.7)
"""Share of a clip that is left where it is cut off."""
_UNSURE = ("key", "voices")
"""Values that are measured, and right of half and of three fifths of clips alone: too few to call another one worse."""
_CAPTIONED = {"sound": "preferred_audio_caption", "music": "preferred_music_caption"}
_WORD_LETTERS = 4
"""Letters from which on a word says something: `the`, `of`, `and` are shared by captions of anything."""


def preferences(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Preference pairs of clips on the route `ring`, at most one a clip and task."""
    ring = in_ring(clips)
    for place, clip in enumerate(ring):
        if share_of("preference", context.job.seed, clip.clip_id) >= context.job.preference_share:
            continue
        others = list(followers(ring, place))
        outcomes = [
            *_misheard(clip, context),
            *_misjudged(clip, others, context),
            *_miscaptioned(clip, others, context),
            *_misspoken(clip, others, context),
        ]
        yield from outcomes
        if not outcomes:
            task = _CAPTIONED.get(clip.domain, "preferred_audio_understanding")
            yield NotBuilt(clip.clip_id, task, "no_worse_answer", "nothing is known that would answer worse")


def _misheard(clip: Annotated, context: Context) -> Iterator[Built]:
    """The worst that a checkpoint wrote, by its share of wrong words; else what the recognizer heard."""
    given, heard = (clip.given_text or "").strip(), (clip.transcript or "").strip()
    if clip.domain != "speech" or not given or not is_plain_speech(clip):
        return
    own = [(disagreement(given, text) or 0.0, text) for text in answers_about(clip, context.job.answers)]
    share, heard = max(
        own, default=(disagreement(given, heard) or 0.0 if heard else 0.0, heard), key=lambda one: one[0]
    )
    # A checkpoint may be as wrong as it likes: nobody doubts the script for it.
    if 0 < share <= (1.0 if own else MAX_DISAGREEMENT) and letters_of(given) != letters_of(heard):
        yield _pair(
            "preferred_asr", clip, context, texts={"transcript": given, REJECTED: heard}, clips={"audio": clip.clip_id}
        )


def _misjudged(clip: Annotated, others: Sequence[Annotated], context: Context) -> Iterator[Built]:
    seed, values = context.job.seed, attributes_of(clip)
    sure = [kind for kind in values if kind not in _UNSURE]
    for kind in sorted(sure, key=lambda kind: share_of("preferred kind", seed, clip.clip_id, kind)):
        near = [attributes_of(other).get(kind, frozenset()) for other in others]
        wrong = wrong_values(clip, values[kind], near)[:MAX_DISTRACTORS]
        if not wrong:
            continue
        answer = sorted(values[kind])[int(len(values[kind]) * share_of("preferred answer", seed, clip.clip_id))]
        choices = sorted([answer, *wrong], key=lambda value: share_of("preferred choice", seed, clip.clip_id, value))
        question = choice_question(kind, choices, language_of(clip, context.job), _key(clip, kind, context))
        texts = {"question": question, "answer": answer, REJECTED: wrong[0]}
        yield _pair("preferred_audio_understanding", clip, context, texts=texts, clips={"audio": clip.clip_id})
        return


def _miscaptioned(clip: Annotated, others: Sequence[Annotated], context: Context) -> Iterator[Built]:
    own = next(iter(described(clip)), "")
    if clip.domain not in _CAPTIONED or not own:
        return
    said = _said_words(clip)
    for other in others:
        caption = next(iter(described(other)), "")
        if other.domain == clip.domain and caption and said.isdisjoint(_said_words(other)):
            texts = {"caption": own, REJECTED: caption}
            yield _pair(_CAPTIONED[clip.domain], clip, context, texts=texts, clips={"audio": clip.clip_id})
            return


def _misspoken(clip: Annotated, others: Sequence[Annotated], context: Context) -> Iterator[Built]:
    words = words_of(clip)
    if not words or not is_plain_speech(clip) or context.refusal(clip) is not None:
        return
    clips = {"audio": clip.clip_id, REJECTED: _worse_speech(clip, others, context)}
    yield _pair("preferred_tts", clip, context, texts={"transcript": words}, clips=clips)


def _worse_speech(clip: Annotated, others: Sequence[Annotated], context: Context) -> str | Recipe:
    """One way of three; where nobody says anything else, the clip under noise."""
    seed, own = context.job.seed, clip.clip_id
    way, degree = share_of("worse way", seed, own), share_of("worse degree", seed, own)
    letters = letters_of(words_of(clip))
    others_words = (other for other in others if words_of(other) and letters_of(words_of(other)) != letters)
    if way < 1 / 3 and (other := next(others_words, None)) is not None:
        return other.clip_id
    if 1 / 3 <= way < 2 / 3:
        least, most = KEPT
        num_samples = max(1, int(samples_of(clip) * (least + (most - least) * degree)))
        return make_recipe("crop", [clip], {"first_sample": 0, "num_samples": num_samples})
    color = "white" if share_of("worse color", seed, own) < 0.5 else "pink"
    return make_recipe("add_noise", [clip], {"snr_db": round(MAX_SNR_DB * degree, 1), "color": color}, seed=seed)


def _pair(
    task: str, clip: Annotated, context: Context, *, texts: Mapping[str, str], clips: Mapping[str, str | Recipe]
) -> Built:
    request = request_of(task, language_of(clip, context.job), _key(clip, task, context))
    return example(task, clip, context.job, texts={**texts, "request": request}, clips=clips)


def _said_words(clip: Annotated) -> set[str]:
    """What its captions, kinds and title say, word by word."""
    said = " ".join([*described(clip), *kinds_of(clip), clip.title or ""]).casefold()
    return {
        word for word in "".join(one if one.isalnum() else " " for one in said).split() if len(word) >= _WORD_LETTERS
    }


def _key(clip: Annotated, what: str, context: Context) -> str:
    return hash_json([context.job.seed, clip.clip_id, "preferred", what])
