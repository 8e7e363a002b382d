"""Praat's TextGrid, long and short: tiers of words and phones are times of words, other tiers are utterances.

Reads    intervals [1]: xmin = 0.1 xmax = 1.2 text = "good evening"    of a tier "Ann"
Row out  Label(path="talk.wav", start_s=0.1, end_s=1.2, given_text="good evening", speaker="Ann", given_words=(…))

Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from uniaudio_pipelines.source_to_raw.formats.alignments import timed
from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem

# In the long format, `intervals [2]:` counts; what counts is in brackets, and what is meant is not.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|\[[^\]"]*\]|(?<![\w.])(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|<exists>')
_WORDS = re.compile(r"(?:^|\W)words?$", re.IGNORECASE)
_PHONES = re.compile(r"(?:^|\W)(?:phones?|phonemes?|phon|syllables?|maus|kan)$", re.IGNORECASE)
_MAX_WORDS_OF_WORDS = 1.3
_FEW = 4


@dataclass(frozen=True, slots=True)
class _Tier:
    name: str
    rows: list[tuple[str, float, float]]
    """Text, start and end; of those with a text."""

    @property
    def holds_words(self) -> bool:
        """Whether a tier holds words: by its name, else where nearly each interval has one word."""
        if _WORDS.search(self.name):
            return True
        num_words = sum(len(text.split()) for text, _, _ in self.rows)
        return len(self.rows) > _FEW and num_words <= _MAX_WORDS_OF_WORDS * len(self.rows)


def textgrid(one: Beside) -> Iterator[Label | Problem]:
    try:
        tiers = [tier for tier in _tiers(one.text) if tier.rows]
    except (ValueError, IndexError):
        yield Problem(path=one.file, reason="bad_line", detail="must be a TextGrid of Praat, but cannot be read as one")
        return
    tiers = [tier for tier in tiers if not _PHONES.search(tier.name)]
    words = [row for tier in tiers if tier.holds_words for row in tier.rows]
    spoken = [tier for tier in tiers if not tier.holds_words]
    of_words = timed(one, sorted(words, key=lambda row: row[1])) if words else None
    if not spoken:
        if of_words is not None:
            yield Label(
                path=one.path,
                given_text=" ".join(word.word for word in of_words.given_words) or None,
                given_words=of_words.given_words,
                said_by=one.file,
            )
        return
    for tier in spoken:
        for text, start_s, end_s in tier.rows:
            inside = tuple(
                word for word in (of_words.given_words if of_words else ()) if start_s <= word.start_s < end_s
            )
            yield Label(
                path=one.path,
                start_s=start_s,
                end_s=end_s,
                given_text=" ".join(text.split()),
                speaker=tier.name.strip() or None if len(spoken) > 1 else None,
                given_words=inside,
                said_by=one.file,
            )


def _tiers(text: str) -> Iterator[_Tier]:
    """ValueError or IndexError where it is no TextGrid."""
    tokens: list[str | float] = []
    for match in _TOKEN.finditer(text):
        if match[1] is not None:
            tokens.append(match[1].replace('""', '"'))
        elif match[2] is not None:
            tokens.append(float(match[2]))
    kinds = [index for index, token in enumerate(tokens) if token in ("IntervalTier", "TextTier")]
    if not kinds or not str(tokens[0]).startswith("ooTextFile"):
        raise ValueError("no TextGrid")
    for index in kinds:
        name, count = str(tokens[index + 1]), int(float(tokens[index + 4]))
        if tokens[index] == "TextTier":
            continue
        rows = []
        for at in range(index + 5, index + 5 + 3 * count, 3):
            start_s, end_s, said = float(tokens[at]), float(tokens[at + 1]), str(tokens[at + 2])
            if said.strip() and end_s > start_s >= 0:
                rows.append((said.strip(), start_s, end_s))
        yield _Tier(name, rows)
