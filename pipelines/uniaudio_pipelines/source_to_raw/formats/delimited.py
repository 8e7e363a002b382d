"""Rows of CSV, TSV and their like, with or without a header, one after the other.

Reads    a.wav,"Say ""hello"", she said."
Row out  (1, ["a.wav", 'Say "hello", she said.'])

A quoted field may hold line breaks. A quote that is never closed is a character of the text: it costs one row's quotes, not the file.
"""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator

from uniaudio_pipelines.source_to_raw.formats.format import Folder, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import Line, read_lines

DELIMITERS = (",", "\t", "|", ";")
BLANK = " "
"""Delimiter of a name and a text that has blanks itself: two fields."""
COLON = ":"
"""The same, of lists in Japanese (`BASIC5000_0001:水を…`)."""
_BLANKS = re.compile(r"[ \t]+")
"""Other spaces of Unicode are part of a text."""
_EXCEL = re.compile(r"sep=.")
"""A first line that tells Excel the delimiter."""
_COMMENT = "#"
_MAX_LINES = 200
"""Most lines of one quoted field."""
csv.field_size_limit(1 << 26)


def rows(folder: Folder, path: str, delimiter: str) -> Iterator[tuple[int, list[str]] | Problem]:
    """`(line number, fields)`; a tab or a bar separates as it stands, without quotes, `BLANK` and `COLON` once. Comments above the first row
    are none, but for a last one that names the columns, as AudioSet has it."""
    comment: tuple[int, list[str]] | None = None
    is_above = True
    for row in _all_rows(folder, path, delimiter):
        if is_above and not isinstance(row, Problem):
            if row[1][0].lstrip().startswith(_COMMENT):
                comment = row
                continue
            is_above = False
            if comment and delimiter not in (BLANK, COLON) and len(comment[1]) == len(row[1]) > 1:
                first, *others = comment[1]
                yield comment[0], [first.strip().removeprefix(_COMMENT).strip(), *others]
        yield row


def _all_rows(folder: Folder, path: str, delimiter: str) -> Iterator[tuple[int, list[str]] | Problem]:
    quotes = delimiter in ",;"
    lines = read_lines(folder, path)
    waiting: deque[Line | Problem] = deque()
    opens = re.compile(rf'(?:^|{re.escape(delimiter)})\s*"')
    while True:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        if isinstance(line, Problem):
            yield line
            continue
        text = line.text
        if line.number == 1 and _EXCEL.fullmatch(text):
            continue
        if delimiter == BLANK:
            yield line.number, _BLANKS.split(text.strip(" \t"), 1)
            continue
        if not quotes:
            yield line.number, text.split(delimiter, 1 if delimiter == COLON else -1)
            continue
        if '"' in text and opens.search(text) and text.count('"') % 2:
            text, waiting = _joined(line, waiting, lines, delimiter)
        yield line.number, _fields(text, delimiter)


def _joined(
    line: Line, waiting: deque[Line | Problem], lines: Iterator[Line | Problem], delimiter: str
) -> tuple[str, deque[Line | Problem]]:
    """The line and those behind it up to the one that closes its quote; itself alone where none does."""
    taken: list[Line | Problem] = []
    num_quotes = line.text.count('"')
    while len(taken) < _MAX_LINES:
        more = waiting.popleft() if waiting else next(lines, None)
        if more is None:
            break
        taken.append(more)
        if isinstance(more, Problem):
            break
        num_quotes += more.text.count('"')
        if num_quotes % 2 == 0:
            text = "\n".join([line.text, *(one.text for one in taken if isinstance(one, Line))])
            # Behind a quote that closes there is a delimiter; else another field's quote was taken for it.
            if _is_strict(text, delimiter):
                return text, waiting
            break
    return line.text, deque([*taken, *waiting])


def _is_strict(text: str, delimiter: str) -> bool:
    try:
        next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return False
    return True


def _fields(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    if text.count('"') % 2:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, StopIteration):
        return text.split(delimiter)


def sniff(folder: Folder, path: str, num_rows: int = 50) -> str | None:
    """The delimiter that cuts the first rows into equally many fields, two or more; None where none does."""
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        counts: Counter[int] = Counter()
        for row in rows(folder, path, delimiter):
            if isinstance(row, Problem):
                break
            counts[len(row[1])] += 1
            if counts.total() == num_rows:
                break
        if not counts:
            continue
        width, agreeing = counts.most_common(1)[0]
        if width > 1 and agreeing >= 0.8 * counts.total():
            # Text holds commas, but rarely equally many a row.
            candidate = (agreeing / counts.total(), width, delimiter)
            best = candidate if best is None or candidate[:2] > best[:2] else best
    return best[2] if best else None
