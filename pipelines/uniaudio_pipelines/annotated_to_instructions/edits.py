"""Speech edits: a word is taken out, put in, or replaced by one that the same voice says elsewhere. What is spliced is the source wherever
that can be, so that the target is as it was recorded."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.annotated import Annotated, Word
from uniaudio_schemas.kinds.instructions import Recipe

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.tasks.annotations import TRAIN, letters_of, words_of
from uniaudio.tasks.edits import request
from uniaudio.tasks.recipes import make_recipe, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context, WordTimes
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    example,
    followers,
    in_ring,
    language_of,
)

_TASK = "speech_edit"
_WORD_SAMPLES = (1_920, 36_000)
"""Words between 0.08 and 1.5 s can be cut: shorter ones are no more than a guess, longer ones hold a pause."""
_NUM_DONORS = 2
"""Clips of the voice that are looked at for another word."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A word at 24 kHz."""

    word: str
    first: int
    size: int


def edited(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Edits of the speech in clips of one voice, or in one clip whose voice is unknown."""
    job = context.job
    ring = in_ring(clip for clip in clips if words_of(clip) and context.refusal(clip) is None)
    chosen = [place for place, clip in enumerate(ring) if share_of("edit", job.seed, clip.clip_id) < job.edit_share]
    donors = {place: list(islice(followers(ring, place), _NUM_DONORS)) for place in chosen}
    clip_ids = {ring[place].clip_id for place in chosen} | {one.clip_id for some in donors.values() for one in some}
    times = context.words(clip_ids) if clip_ids else {}
    for place in chosen:
        yield _edit(ring[place], donors[place], times, context)


def _edit(clip: Annotated, donors: Sequence[Annotated], times: WordTimes, context: Context) -> Built | NotBuilt:
    seed = context.job.seed
    places = list(_places(clip, times))
    counts = Counter(letters_of(one.word) for one in places)
    # A word that is there twice would need more words to be told from the other.
    single = [index for index, one in enumerate(places) if counts[letters_of(one.word)] == 1 and index > 0]
    usable = [
        index for index in single if counts[letters_of(places[index - 1].word)] == 1 and _can_be_cut(places[index])
    ]
    if not usable:
        return NotBuilt(clip.clip_id, _TASK, "no_word_times", "no word whose place is known can be cut out")
    index = usable[int(len(usable) * share_of("word", seed, clip.clip_id))]
    kind = ("delete", "insert", "replace")[int(3 * share_of("edit kind", seed, clip.clip_id))]
    word, before = places[index], places[index - 1]
    donor_word = _donor(clip, counts, donors, times, seed) if kind == "replace" else None
    if kind == "replace" and donor_word is not None:
        donor, other = donor_word
        stretch = {"first_sample": word.first, "num_samples": word.size}
        spliced = make_recipe(
            "splice", [clip, donor], {**stretch, "from_sample": other.first, "from_num_samples": other.size}
        )
        return _example(clip, "replace", word.word, other.word, (spliced, clip.clip_id), context)
    without = make_recipe("cut_out", [clip], {"first_sample": word.first, "num_samples": word.size})
    if kind == "delete":
        return _example(clip, "delete", word.word, "", (clip.clip_id, without), context)
    return _example(clip, "insert", word.word, before.word, (without, clip.clip_id), context)


def _example(
    clip: Annotated, kind: str, word: str, beside: str, pair: tuple[str | Recipe, str | Recipe], context: Context
) -> Built:
    key = hash_json([context.job.seed, clip.clip_id, kind])
    request_text = request(kind, _plain(word), language_of(clip, context.job), key, beside=_plain(beside))
    return example(
        _TASK, clip, context.job, texts={"request": request_text}, clips={"source": pair[0], "target": pair[1]}
    )


def _places(clip: Annotated, times: WordTimes) -> Iterator[_Place]:
    """Words with their times, of the text that may be trained on."""
    transcribed_words, source_words = times.get(clip.clip_id, ([], []))
    accepted: list[Word] = (
        transcribed_words if clip.split == TRAIN and not clip.rejections and not clip.given_text else []
    )
    size = samples_of(clip)
    for one in source_words or accepted:
        first = one.first_sample * SAMPLE_RATE // clip.sample_rate
        end = min(size, (one.first_sample + one.num_samples) * SAMPLE_RATE // clip.sample_rate)
        if letters_of(one.word):
            yield _Place(one.word, first, max(0, end - first))


def _can_be_cut(place: _Place) -> bool:
    return _WORD_SAMPLES[0] <= place.size <= _WORD_SAMPLES[1]


def _donor(
    clip: Annotated, known: Counter[str], donors: Sequence[Annotated], times: WordTimes, seed: int
) -> tuple[Annotated, _Place] | None:
    """A word that the clip has not, said by the same voice."""
    candidates = [
        (donor, place)
        for donor in donors
        for place in _places(donor, times)
        if _can_be_cut(place) and letters_of(place.word) not in known
    ]
    return candidates[int(len(candidates) * share_of("donor", seed, clip.clip_id))] if candidates else None


def _plain(word: str) -> str:
    return word.strip().strip(".,;:!?…\"'()[]。，；：！？、“”‘’（）")
