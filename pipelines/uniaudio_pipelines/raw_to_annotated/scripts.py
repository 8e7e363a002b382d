"""The text that a source gives for a recording which is cut: each of its words goes to the cut it is spoken in.

The times are the source's own, where it has them, else those of the recognizer's words. Where the text does not fit what was heard,
the recording stays whole, if it is short enough, or is dropped: it is never given what a recognizer heard in place of its text.
"""

from collections.abc import Sequence

from uniaudio_schemas.kinds.annotated import Word
from uniaudio_schemas.kinds.raw import Raw

from uniaudio_pipelines.raw_to_annotated.drafts import SOURCE, Draft

ALIGNMENT, ALIGNMENT_VERSION = "alignment", "2"


def share_text(raw: Raw, drafts: Sequence[Draft]) -> float | None:
    """Give each cut its part of the given text, with times; None where that is done, else how well the text fits (0 to 1)."""
    from uniaudio.text.alignment import align_words, cut_text

    heard = _given_words(raw) or _heard(drafts)
    alignment = align_words(raw.given_text or "", heard, raw.num_samples)
    if not alignment.is_sure:
        return alignment.confidence
    firsts = [draft.columns["first_sample"] for draft in drafts]
    parts = cut_text(alignment, firsts[1:])
    by = (SOURCE, "times") if raw.given_words else (ALIGNMENT, ALIGNMENT_VERSION)
    done = 0
    for draft, part in zip(drafts, parts, strict=True):
        text = part.text.strip()
        draft.columns["given_text"] = text or None
        if text:
            draft.note("given_text", *by, part.confidence)
        # The parts, joined, are the text: words are counted off by their characters.
        end = done + len(part.text)
        words = [word for word in alignment.words if done <= word.first_character < end]
        spoken = [
            _in_cut(
                draft,
                alignment.text[word.first_character : word.first_character + word.num_characters].strip(),
                (word.first_sample, word.num_samples, word.confidence),
            )
            for word in words
        ]
        if spoken:
            draft.columns["given_words"] = spoken
            draft.note("given_words", *by, part.confidence)
        done = end
    return None


def give_times(raw: Raw, draft: Draft) -> None:
    """The source's own word times to a recording that is one cut."""
    if words := _given_words(raw):
        draft.columns["given_words"] = words
        draft.note("given_words", SOURCE, "times", 1.0)


def _given_words(raw: Raw) -> list[Word]:
    return [
        Word(word=one.word, first_sample=one.first_sample, num_samples=one.num_samples, confidence=1.0)
        for one in raw.given_words
    ]


def _heard(drafts: Sequence[Draft]) -> list[Word]:
    """What the recognizer heard in all cuts, from the recording's start."""
    return [
        Word(
            word=word.word,
            first_sample=draft.columns["first_sample"] + word.first_sample,
            num_samples=word.num_samples,
            confidence=word.confidence,
        )
        for draft in drafts
        for word in draft.columns.get("words", ())
    ]


def _in_cut(draft: Draft, text: str, place: tuple[int, int, float]) -> Word:
    first_sample, num_samples, confidence = place
    first = min(max(first_sample - draft.columns["first_sample"], 0), draft.columns["num_samples"])
    return Word(
        word=text,
        first_sample=first,
        num_samples=min(num_samples, draft.columns["num_samples"] - first),
        confidence=confidence,
    )
