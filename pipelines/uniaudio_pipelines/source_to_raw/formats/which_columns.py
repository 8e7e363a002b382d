"""Which columns of a table nobody named: the one of audio files by the files that are there, the text by what stands in it, the speaker.

Row in   {"column_1": "wavs/a.wav", "column_2": "17", "column_3": "Please call Stella."}
Gives    `column_1`, `column_3`, `column_2`
"""

import posixpath
import re
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, is_audio, suffix_of
from uniaudio_pipelines.source_to_raw.formats.columns import PATHS, SURE_PATHS, plain, text_of
from uniaudio_pipelines.source_to_raw.formats.format import Folder
from uniaudio_pipelines.source_to_raw.formats.places import Places, spellings, split_of

SAMPLE = 200
"""Rows that are looked at."""
_MIN_FOUND = 0.3
"""Least share of a column's values that are files. Where the column's name says what it is, one is enough: a corpus is often downloaded in parts."""
_MANY_MORE = 1.5
"""Times as many words as in the column before it, from which on a column is the text."""
_SAYS_OTHERWISE = re.compile("title|name|artist|composer|album|author|genre|categor|licen|url|source|comment|translat")
"""What a column of sentences is called where nobody speaks them."""
_LETTERS_APART = 1.8
"""Least letters of a word, on average; phones and letters one by one have fewer."""
_WITHOUT_BLANKS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which put no blank between words."""
_OF_YOUTUBE = "Y"
"""What tools put in front of names of videos, lest they begin with a dash: AudioCaps, AudioSet."""
Rows = list[dict[str, Any]]


class Finder:
    """Which file a cell means."""

    def __init__(self, folder: Folder, file: str, names: AudioNames) -> None:
        self._folder, self._file, self._names = folder, file, names
        self._places = Places(folder, file)
        self._split = split_of(folder, file)

    def find(self, name: str) -> str | None:
        if len(name) > 4096 or "\n" in name:
            return None
        sound_path = self._places.find(name)
        if sound_path is not None:
            return sound_path if is_audio(sound_path) or not suffix_of(sound_path) else None
        named = spellings(name)
        if named != (name,):
            # Of what lay elsewhere only the name is left.
            return next((path for one in named if (path := self._names.find(one))), None)
        if name.startswith("/") or ".." in name.split("/"):
            return None
        # `part1/a` without its suffix, or a name alone.
        names = self._names
        path = names.find(name) or names.find(f"{_OF_YOUTUBE}{name}") or names.video(name) or self._of_split(name)
        folder = posixpath.dirname(name)
        return path if path and (not folder or posixpath.dirname(path).endswith(folder)) else None

    def _of_split(self, name: str) -> str | None:
        """Of several files of a name the only one that lies in the folder of the table's split: `train.csv` means `train/0.wav`."""
        if self._split is None:
            return None
        paths = self._names.all_of(name)
        in_split = [path for path in paths if split_of(self._folder, posixpath.dirname(path)) == self._split]
        return in_split[0] if len(in_split) == 1 else None

    def guess(self, name: str) -> str:
        """Path where a file would lie that is not there."""
        return self._folder.below(self._file, name)


def path_column(finder: Finder, sample: Rows, columns: list[str], *, has_names: bool) -> str | None:
    """`has_names`: whether the columns have names of their own, which may be `audio_filepath`."""
    shares: dict[str, float] = {}
    for column in columns:
        cells = [row.get(column) for row in sample]
        values = [text for cell in cells if isinstance(cell, str | int) and (text := str(cell).strip())]
        if values:
            shares[column] = sum(finder.find(value) is not None for value in values) / len(values)
    order = {name: index for index, name in enumerate(PATHS)}
    best = max(shares, key=lambda column: (shares[column], -order.get(plain(column), len(order))), default=None)
    if best is not None and shares[best] >= (1 / SAMPLE if plain(best) in order else _MIN_FOUND):
        return best
    # Where none of its files is there, a table that is certainly one of audio says what is missing.
    sure = [column for column in columns if plain(column) in SURE_PATHS]
    named = [column for column in sure if any(is_audio(text_of(row.get(column) or "")) for row in sample)]
    return named[0] if named and has_names else None


def text_column(sample: Rows, columns: list[str], meaning: dict[str, str]) -> str | None:
    """The column that holds sentences: words, and hardly ever the same ones; spelled out letter by letter only where no other is."""
    best: tuple[bool, float, str] | None = None
    has_names = not all(column.startswith("column_") for column in columns)
    for column in columns:
        values = [value for row in sample if isinstance(value := row.get(column), str) and value.strip()]
        is_named = has_names and _SAYS_OTHERWISE.search(plain(column))
        if column in meaning or is_named or len(values) < max(1, len(sample) // 2):
            continue
        if sum(any(one.isalpha() for one in value) for value in values) < 0.9 * len(values):
            continue
        words = [word for value in values for word in _WITHOUT_BLANKS.sub(r" \g<0> ", value).split()]
        num_words = len(words) / len(values)
        is_written = sum(map(len, words)) > _LETTERS_APART * len(words) or any(
            _WITHOUT_BLANKS.search(value) for value in values
        )
        share_unique = len(set(values)) / len(values)
        if num_words >= 2 and share_unique > 0.5 and (best is None or _is_better(is_written, num_words, best)):
            best = (is_written, num_words, column)
    return best[2] if best else None


def _is_better(is_written: bool, num_words: float, best: tuple[bool, float, str]) -> bool:
    """Whether a later column is the text rather than the one before it, whose translation it may be: it has many more words, or is written
    where the other one is spelled."""
    return (is_written, num_words) > (best[0], best[1] * (_MANY_MORE if best[0] == is_written else 1.0))


def speaker_column(sample: Rows, columns: list[str], meaning: dict[str, str]) -> str | None:
    """The only other column of a file list of speech synthesis (`path|speaker|text`, `path|text|speaker`), of one word each."""
    others = [column for column in columns if column not in meaning]
    values = [text_of(row.get(others[0])).strip() for row in sample] if len(others) == 1 else []
    return others[0] if values and all(value and len(value.split()) == 1 for value in values) else None
