"""Times of words in plain text: HTK and MFA labels (.lab), NIST's .ctm and .stm, TIMIT's .wrd and .phn, Buckeye's .words; and of speakers:
NIST's .rttm.

Reads    rec1 1 11.34 0.2 YES          a .ctm: recording, channel, start, duration, word
         rec1 A ann 1.2 3.4 GOOD DAY   a .stm: recording, channel, speaker, start, end, words
         SPEAKER rec1 1 1.2 2.2 <NA> <NA> ann <NA> <NA>   an .rttm: recording, channel, start, duration, speaker
Row out  Label(path="rec1.wav", given_text="YES", given_words=(GivenTime(word="YES", start_s=11.34, duration_s=0.2),))
"""

import re
from collections.abc import Iterator
from itertools import groupby

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.format import GivenTime, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import finite

_TIMED = re.compile(r"^\s*(\d+(?:\.\d+)?)\s+(\d+(?:\.\d+)?)\s+(\S.*?)\s*$")
_BUCKEYE = re.compile(r"\s*(\d+(?:\.\d+)?)\s+\d+\s+([^;]*?)\s*(?:;.*)?")
_HTK = 1e7
"""Units a second of HTK's times."""
_SILENCE = frozenset({"", "sil", "sp", "spn", "pau", "h#", "<eps>", "<sil>", "<p:>", "#", "xxx"})
_PHONE_LETTERS = 2.3
"""Letters of a label, on average: names of phones have one or two, words three to six."""
_CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}
_SKIPPED = "ignore_time_segment_in_scoring"
_STM_LABEL = re.compile(r"<(?:NA|[^<>\s]*,[^<>\s]*)>", re.IGNORECASE)
"""What stands before the words of a .stm: `<o,f0,male>`, or TED-LIUM's `<NA>`."""
_VARIANT = re.compile(r"(?<=\w)\(\d\)(?!\S)")
"""TED-LIUM's number of a pronunciation: `the(2)`."""


def lab(one: Beside) -> Iterator[Label | Problem]:
    """Times and labels, or a transcript alone."""
    lines = [line for line in one.text.split("\n") if line.strip()]
    matches = [_TIMED.match(line) for line in lines]
    if not lines:
        yield Problem(path=one.file, reason="empty", detail="no text")
    elif all(matches):
        rows = [match.groups() for match in matches if match]
        whole_numbers = all("." not in start + end for start, end, _ in rows)
        unit = _HTK if whole_numbers and float(rows[-1][1]) >= 10_000 else 1.0
        yield timed(one, [(word, float(start) / unit, float(end) / unit) for start, end, word in rows])
    else:
        yield Label(path=one.path, given_text=" ".join(one.text.split()), said_by=one.file)


def samples(one: Beside) -> Iterator[Label | Problem]:
    """TIMIT's, which count samples; words come with the sentence beside them."""
    from uniaudio.audio.read import probe

    try:
        rate = probe(one.folder.absolute(one.path)).sample_rate
    except DataError as error:
        yield Problem(
            path=one.file, reason="bad_times", detail=f"counts samples of a file that cannot be read: {error}"[:300]
        )
        return
    if one.file.lower().endswith(".phn") and one.has_sample_times and _has_words(one):
        return
    rows = []
    for line in one.text.split("\n"):
        if match := _TIMED.match(line):
            rows.append((match[3], float(match[1]) / rate, float(match[2]) / rate))
        elif line.strip():
            yield Problem(
                path=one.file, reason="bad_line", detail=f"must be two samples and a label, but is {line[:80]}"
            )
    if rows:
        yield timed(one, rows, with_text=False)


def buckeye(one: Beside) -> Iterator[Label | Problem]:
    """Buckeye's .words: behind a line `#` the end of each word in seconds, a colour, and the word before semicolons; else starts, ends and
    words in seconds. Marks such as <SIL> and {B_TRANS} are no words."""
    _, hash_mark, behind = one.text.partition("\n#")
    rows: list[tuple[str, float, float]] = []
    last_s = 0.0
    for line in (behind if hash_mark else one.text).split("\n"):
        if match := _BUCKEYE.fullmatch(line) if hash_mark else _TIMED.match(line):
            end_s = float(match[1] if hash_mark else match[2])
            word = match[2] if hash_mark else match[3]
            if not word.startswith(("<", "{")):
                rows.append((word, last_s if hash_mark else float(match[1]), end_s))
            last_s = end_s
        elif line.strip():
            yield Problem(path=one.file, reason="bad_line", detail=f"must be a time and a word, but is {line[:80]}")
    if rows:
        yield timed(one, rows)


def _has_words(one: Beside) -> bool:
    stem = one.file.rpartition(".")[0]
    return f"{stem}.WRD" in one.folder or f"{stem}.wrd" in one.folder


def timed(one: Beside, rows: list[tuple[str, float, float]], *, with_text: bool = True) -> Label:
    """A label of the whole sound: `rows` are label, start and end in seconds. Phones are no text."""
    text, words = words_of(rows)
    return Label(path=one.path, given_text=text if with_text else None, given_words=words, said_by=one.file)


def words_of(rows: list[tuple[str, float, float]]) -> tuple[str | None, tuple[GivenTime, ...]]:
    """The text, where the labels are words, and the labels with their times, without silences."""
    heard = [
        (word, start_s, end_s) for word, start_s, end_s in rows if word.lower() not in _SILENCE and end_s >= start_s
    ]
    letters = sum(len(word) for word, _, _ in heard) / max(1, len(heard))
    are_words = letters > _PHONE_LETTERS or len(heard) < 4 or not heard[0][0].isascii()
    text = " ".join(word for word, _, _ in heard) or None if are_words else None
    return text, tuple(GivenTime(word=word, start_s=start, duration_s=end - start) for word, start, end in heard)


def recordings(one: Beside) -> Iterator[Label | Problem]:
    """Lines that name their recordings."""
    read = _stm if one.file.lower().endswith(".stm") else _ctm
    lines = [line.split() for line in one.text.split("\n") if line.strip() and not line.startswith(";;")]
    channels: dict[str, set[str]] = {}
    for fields in lines:
        if len(fields) > 1:
            channels.setdefault(fields[0], set()).add(fields[1])
    for recording, group in groupby(lines, key=lambda fields: fields[0]):
        path = one.names.find(recording) or (one.path if len(channels) <= 1 else "")
        if not path:
            detail = f"recording {recording[:80]} must be called like one audio file of the corpus, but is not"
            yield Problem(path=one.file, reason="unknown_recording", detail=detail)
            continue
        # One channel alone is how these files say that channels play no part.
        several = len(channels.get(recording, ())) > 1
        yield from read(one, path, list(group), several)


def turns(one: Beside) -> Iterator[Label | Problem]:
    """Who speaks when."""
    for line in one.text.split("\n"):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        start_s, duration_s = (finite(field) for field in fields[3:5]) if len(fields) >= 8 else (None, None)
        path = one.names.find(fields[1]) or one.path if len(fields) >= 8 else ""
        if start_s is None or duration_s is None or start_s < 0 or duration_s <= 0:
            detail = f"must be a recording, channel, start, duration and speaker, but is {line.strip()[:80]}"
            yield Problem(path=one.file, reason="bad_line", detail=detail)
        elif not path:
            detail = f"recording {fields[1][:80]} must be called like one audio file of the corpus, but is not"
            yield Problem(path=one.file, reason="unknown_recording", detail=detail)
        else:
            yield Label(
                path=path, start_s=start_s, end_s=start_s + duration_s, speaker=fields[7], recording=fields[1], domain="speech",
                said_by=one.file,
            )  # fmt: skip


def _channel(said: str, several: bool) -> int | None:
    return _CHANNELS.get(said.upper()) if several else None


def _ctm(one: Beside, path: str, lines: list[list[str]], several: bool) -> Iterator[Label | Problem]:
    words: dict[int | None, list[tuple[str, float, float]]] = {}
    for fields in lines:
        start_s, duration_s = (finite(field) for field in fields[2:4]) if len(fields) >= 5 else (None, None)
        if start_s is None or duration_s is None or min(start_s, duration_s) < 0:
            detail = f"must be recording, channel, start, duration and word, but is {' '.join(fields)[:80]}"
            yield Problem(path=one.file, reason="bad_line", detail=detail)
        else:
            words.setdefault(_channel(fields[1], several), []).append((fields[4], start_s, start_s + duration_s))
    for channel, rows in words.items():
        made = timed(one, rows)
        yield Label(
            path=path,
            channel=channel,
            given_text=made.given_text,
            given_words=made.given_words,
            domain="speech",
            said_by=one.file,
        )


def _stm(one: Beside, path: str, lines: list[list[str]], several: bool) -> Iterator[Label | Problem]:
    for fields in lines:
        start_s, end_s = (finite(field) for field in fields[3:5]) if len(fields) >= 5 else (None, None)
        words = fields[5:]
        if words and _STM_LABEL.fullmatch(words[0]):
            words = words[1:]
        text = _VARIANT.sub("", " ".join(words))
        if start_s is None or end_s is None or start_s < 0 or end_s <= start_s:
            detail = f"must be recording, channel, speaker, start, end and words, but is {' '.join(fields)[:80]}"
            yield Problem(path=one.file, reason="bad_line", detail=detail)
        elif text != _SKIPPED:
            yield Label(
                path=path, start_s=start_s, end_s=end_s, channel=_channel(fields[1], several), speaker=fields[2], recording=fields[0],
                given_text=text or None, domain="speech", said_by=one.file,
            )  # fmt: skip
