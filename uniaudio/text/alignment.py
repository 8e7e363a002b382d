"""Put the words of a given transcript at their places in the recording, by the words a recognizer heard and when.

A recording longer than a clip is cut; so that its transcript, written by a person, survives, each of its words goes to
the cut it is spoken in. The recognizer's words give the times, never the text.

Given     "Mr. Ferguson, please." and heard [("Mister", 800, 3200), ("Ferguson", 4000, 9600), ("please", 11200, 4000)]
Gives     words with (first_sample, num_samples, confidence): "Mr. " (800, 3200, .6), "Ferguson, " (4000, 9600, 1), …

Words are aligned by edit distance, in which two words that share letters are cheaper to exchange than two that do not.
A given word that the recognizer missed lies between its neighbours. Scripts without spaces are aligned by characters.
"Nineteen" and "19" are the same word.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Word

from uniaudio.text.normalization import is_spaceless, spoken_words
from uniaudio.text.numerals import with_digits

MATCHED = 0.5
"""Similarity of a given and a heard word from which they are the same word: "gray" and "grey", not "gray" and "grain"."""
MIN_CONFIDENCE = 0.5
"""Share of matched words from which a text is that of the recording.

Of 59 scripts and what Whisper base heard of their clips 57 reach it (the others are of one misheard word), of 295
scripts of other clips one; of sentences of five words and more the least of the right ones has 0.57.
"""
_GAP_COST = 60
"""Cost of a word that only one side has. Exchanging two words that share nothing costs 100: less than leaving both out, so
that a misheard word keeps its time."""
_PIECE = re.compile(r"[^\s—–…/]+[—–…/]*|[—–…/]+")
_OPENING = ("Ps", "Pi")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignedWord:
    """One word of the given text, with the punctuation and the spaces behind it, or one character of a script without spaces."""

    first_character: int
    num_characters: int
    first_sample: int
    num_samples: int
    confidence: float
    """Similarity to the word heard there, 0 to 1; 0 where none was heard and the time lies between the neighbours'."""

    @property
    def is_matched(self) -> bool:
        return self.confidence >= MATCHED

    @property
    def end_sample(self) -> int:
        return self.first_sample + self.num_samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """A given text and where its words are spoken."""

    text: str
    words: tuple[AlignedWord, ...]
    """The words in order. Joined they are the whole `text`."""
    confidence: float
    """Matched words over the words of the longer side: low where the text is another's, or a part of what is said."""

    @property
    def is_sure(self) -> bool:
        """Whether the text may be cut; where it may not, keep the recording whole, or leave the text out."""
        return self.confidence >= MIN_CONFIDENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class TextCut:
    """The part of a text that belongs to one cut of the recording."""

    text: str
    """The word as it stands in the given text, with the spaces behind it."""
    confidence: float
    """Share of its words that were heard; 1 where it has none."""


def align_words(text: str, heard: Sequence[Word], num_samples: int) -> Alignment:
    """Align `text` with the words heard in a recording of `num_samples` samples, in the order they are spoken."""
    spans = _spans(text)
    text_words = ["".join(spoken_words(text[first:last])) for first, last in spans]
    units = _heard_units(heard, num_samples)
    pairs = _best_pairs(*([_key(word) for word in side] for side in (text_words, [unit for unit, _, _ in units])))
    starts, ends, confidences = _times(text_words, units, pairs, num_samples)
    words = tuple(
        AlignedWord(
            first_character=first,
            num_characters=last - first,
            first_sample=start,
            num_samples=end - start,
            confidence=round(confidence, 4),
        )
        for (first, last), start, end, confidence in zip(spans, starts, ends, confidences, strict=True)
    )
    longer = max(len(text_words), len(units))
    confidence = sum(word.is_matched for word in words) / longer if longer else 0.0
    return Alignment(text=text, words=words, confidence=round(confidence, 4))


def cut_text(alignment: Alignment, borders: Sequence[int]) -> list[TextCut]:
    """Split the text where the recording is cut, at the samples `borders`: one more part than borders.

    A word goes to the cut its middle lies in; the texts of the parts, joined, are the text.
    """
    if list(borders) != sorted(borders):
        raise UsageError(f"`borders` must be in order, but is {list(borders)}.")
    groups: list[list[AlignedWord]] = [[] for _ in range(len(borders) + 1)]
    current = 0
    for word in alignment.words:
        current = max(current, bisect_right(borders, word.first_sample + word.num_samples // 2))
        groups[current].append(word)
    if not alignment.words:
        return [TextCut(text=alignment.text if not place else "", confidence=1.0) for place in range(len(groups))]
    return [_cut(alignment.text, words) for words in groups]


def _cut(text: str, words: list[AlignedWord]) -> TextCut:
    if not words:
        return TextCut(text="", confidence=1.0)
    last = words[-1].first_character + words[-1].num_characters
    matched = sum(word.is_matched for word in words)
    return TextCut(text=text[words[0].first_character : last], confidence=round(matched / len(words), 4))


def _spans(text: str) -> list[tuple[int, int]]:
    """First and last character (exclusive) of each word, such that the spans cover the text; punctuation that stands
    alone goes with the word before it, an opening mark with the word behind it."""
    firsts: list[int] = []
    opening: int | None = None
    for first, last in _pieces(text):
        if spoken_words(text[first:last]):
            firsts.append(first if opening is None else opening)
            opening = None
        else:
            while last > first and unicodedata.category(text[last - 1]) in _OPENING:
                last -= 1
                opening = last
    if not firsts:
        return []
    firsts[0] = 0
    return list(zip(firsts, [*firsts[1:], len(text)], strict=True))


def _pieces(text: str) -> list[tuple[int, int]]:
    """Runs without spaces and dashes; in scripts without spaces single characters with their marks."""
    pieces: list[tuple[int, int]] = []
    for match in _PIECE.finditer(text):
        start = match.start()
        for place in range(match.start() + 1, match.end()):
            if (is_spaceless(text[place - 1]) or is_spaceless(text[place])) and not _is_mark(text[place]):
                pieces.append((start, place))
                start = place
        pieces.append((start, match.end()))
    return pieces


def _key(word: str) -> str:
    """What is compared of a normalized word: "21" for "twenty-one"."""
    return "".join(with_digits([word]))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _heard_units(heard: Sequence[Word], num_samples: int) -> list[tuple[str, int, int]]:
    """Normalized words with first and last sample, in order and inside the recording; what is heard as one word and is
    several shares its time by letters."""
    units: list[tuple[str, int, int]] = []
    earliest = 0
    for word in heard:
        parts = spoken_words(word.word)
        ends = np.cumsum([0, *(len(part) for part in parts)]) / max(1, sum(len(part) for part in parts))
        for part, (start, end) in zip(parts, pairwise(ends), strict=True):
            first = min(max(word.first_sample + round(start * word.num_samples), earliest), num_samples)
            last = min(max(word.first_sample + round(end * word.num_samples), first), num_samples)
            units.append((part, first, last))
            earliest = first
    return units


def _best_pairs(given: list[str], heard: list[str]) -> list[tuple[int, int, float]]:
    """Pairs of indices that belong together, and the similarity of their words, by least cost."""
    similar, given_ids, heard_ids = _similarities(given, heard)
    exchange = np.rint(100 * (1 - similar)).astype(np.int32)
    steps = _GAP_COST * np.arange(len(heard) + 1, dtype=np.int32)
    row = steps.copy()
    # 0: a pair, 1: the given word was not heard, 2: the heard word was not given
    moves = np.full((len(given) + 1, len(heard) + 1), 2, np.uint8)
    moves[1:, 0] = 1
    for number in range(1, len(given) + 1):
        paired = row[:-1] + exchange[given_ids[number - 1], heard_ids]
        missed = row[1:] + _GAP_COST
        best = np.concatenate([[steps.dtype.type(number * _GAP_COST)], np.minimum(paired, missed)])
        row = np.minimum.accumulate(best - steps) + steps
        moves[number, 1:] = np.where(row[1:] < best[1:], 2, np.where(paired <= missed, 0, 1))
    pairs = []
    place, other = len(given), len(heard)
    while place and other:
        move = moves[place, other]
        if move == 0:
            pairs.append((place - 1, other - 1, float(similar[given_ids[place - 1], heard_ids[other - 1]])))
        place, other = place - int(move != 2), other - int(move != 1)
    return pairs[::-1]


def _similarities(given: list[str], heard: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dice's coefficient of the pairs of neighbouring letters of each two words, and the row and column of each word."""
    rows, columns = ({word: place for place, word in enumerate(dict.fromkeys(words))} for words in (given, heard))
    names: dict[str, int] = {}
    bags = [
        [[names.setdefault(pair, len(names)) for pair in _letter_pairs(word)] for word in words]
        for words in (rows, columns)
    ]
    tables = []
    for words in bags:
        table = np.zeros((len(words), len(names)), np.float32)
        for place, pairs in enumerate(words):
            table[place, pairs] = 1
        tables.append(table)
    first, second = tables
    shared = first @ second.T
    total = first.sum(axis=1)[:, None] + second.sum(axis=1)[None, :]
    ids = [np.array([places[word] for word in words], np.int64) for places, words in ((rows, given), (columns, heard))]
    return 2 * shared / np.maximum(total, 1), ids[0], ids[1]


def _letter_pairs(word: str) -> set[str]:
    padded = f" {word} "
    return {padded[place : place + 2] for place in range(len(padded) - 1)}


def _times(
    given: list[str], units: list[tuple[str, int, int]], pairs: list[tuple[int, int, float]], num_samples: int
) -> tuple[list[int], list[int], list[float]]:
    """Start, end and confidence of each given word; those without a partner share the time between their neighbours by
    letters."""
    starts, ends, confidences = [0] * len(given), [0] * len(given), [0.0] * len(given)
    anchors = [(-1, 0, 0)]
    for place, other, similarity in pairs:
        _, starts[place], ends[place] = units[other]
        confidences[place] = similarity
        anchors.append((place, starts[place], ends[place]))
    anchors.append((len(given), num_samples, num_samples))
    for (before, _, low), (after, high, _) in pairwise(anchors):
        low = min(low, high)  # words may overlap
        lengths = np.cumsum([0, *(len(given[place]) for place in range(before + 1, after))])
        for place in range(before + 1, after):
            share = lengths[place - before - 1 : place - before + 1] / lengths[-1]
            starts[place], ends[place] = (round(low + (high - low) * float(part)) for part in share)
    return starts, ends, confidences
