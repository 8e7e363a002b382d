"""What is said of audio that lies inside a container: the row of a table, or the JSON beside a member of a tar, to a label.

Row in   {"id": "1034-0", "text": "A B", "speaker_id": 7, "begin_time": 3.1, "words": [{"word": "A", "start": 0.1, "end": 0.3}, …]}
Row out  Label(path="train.tar/1034-0.flac", utterance="1034-0", given_text="A B", speaker="7", given_words=(GivenTime(…), …),
               facts=(Fact(name="begin_time", value="3.1"),))

Such audio has been cut already: times and channels beside it are those of the recording it came from, and facts, unless the card says
otherwise. Columns mean what `columns` says.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats import columns
from uniaudio_pipelines.source_to_raw.formats.format import Folder, GivenTime, Label
from uniaudio_pipelines.source_to_raw.formats.lines import finite

_UTTERANCE = ("utterance", "utteranceid", "uttid", "id", "audioid", "segmentid", "sampleid", "clipid", "fileid", "key")
_MEASURED = frozenset((
    "samplerate", "samplingrate", "sr", "numsamples", "numframes", "numchannels", "channels", "path", "sha256", "url",
))  # fmt: skip
"""Read from the audio itself, or of no use outside of the place they come from."""
_DURATIONS = frozenset(("duration", "durations", "durationms"))
_WORDS = ("given_words", "words")
_MAX_FACT = 10_000
_MAX_KINDS = 1000
"""Kinds of rows that are remembered: JSON objects may all differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Columns:
    """What columns of certain names mean."""

    used: tuple[str, ...]
    """All but the useless ones and the utterance's."""
    utterance: str | None
    meaning: dict[str, str]


class Samples:
    """Makes labels of the rows of one corpus; tables have few kinds of rows, and what their columns mean is found once a kind."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._known: dict[tuple[bool, tuple[str, ...]], _Columns] = {}

    def label(self, path: str, row: Mapping[str, Any], *, is_cut: bool = True, **known: Any) -> Label:
        """The label of the audio `path`, which is what the row is about. `is_cut`: as said above; else the row's times say which stretch
        of the file it means. `known`: fields that hold where the row says nothing of them. ValueError where a time that is used is none."""
        kind = (is_cut, tuple(row))
        if kind not in self._known:
            if len(self._known) >= _MAX_KINDS:
                self._known.clear()
            self._known[kind] = self._columns(*kind)
        layout = self._known[kind]
        words = timed_words(row)
        values = {name: row[name] for name in layout.used if not (name in _WORDS and isinstance(row[name], list))}
        meant = {name: value for name, value in values.items() if name in layout.meaning}
        meaning = layout.meaning
        # A transcript is one; of captions there are many.
        many = [name for name, value in meant.items() if isinstance(value, list) and meaning[name] == "given_text"]
        if many:
            meaning = {**meaning, **dict.fromkeys(many, "given_captions")}
        label = columns.label(path, meant, meaning, self._folder, known.get("said_by", ""), known.get("split"))
        facts = [fact for name, value in values.items() if name not in meaning for fact in facts_of(name, value)]
        if utterance := said(row[layout.utterance]) if layout.utterance else None:
            known["utterance"] = utterance
        more = {name: value for name, value in known.items() if not getattr(label, name)}
        return replace(label, **{**more, "facts": (*label.facts, *facts), "given_words": words})

    def _columns(self, is_cut: bool, names: tuple[str, ...]) -> _Columns:
        useless = _MEASURED | _DURATIONS if is_cut else _MEASURED
        card = self._folder.card.columns.values()
        used = [name for name in names if name in card or columns.plain(name) not in useless]
        free = {columns.plain(name): name for name in reversed(used) if name not in card}
        utterance = next((free[name] for name in _UTTERANCE if name in free), None)
        used = [name for name in used if name != utterance]
        meaning = columns.meanings(used, self._folder, "")
        kept = {
            name: field
            for name, field in meaning.items()
            if field != "path" and not (is_cut and _is_place(field) and name not in card)
        }
        return _Columns(used=tuple(used), utterance=utterance, meaning=kept)


def _is_place(field: str) -> bool:
    """Whether a field says which part of a file is meant."""
    return field == "channel" or field.startswith(("start_", "end_", "duration_"))


def said(value: Any) -> str | None:
    """A single value as text; None where it is none, not a number, or nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return columns.text_of(value).strip() or None


def facts_of(name: str, value: Any) -> Iterator[Fact]:
    """What a column without a meaning says: a fact a value, `a.b` for what lies in an object. Numbers in lists are data."""
    if name == "facts" and isinstance(value, list):  # as `raw` has them
        pairs = [(one.get("name"), one.get("value")) for one in value if isinstance(one, Mapping)]
    elif isinstance(value, Mapping):
        pairs = [(str(key) if name == "facts" else f"{name}.{key}", inner) for key, inner in value.items()]
    else:
        pairs = [(name, one) for one in (value if isinstance(value, list) else [value])]
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            return
    for key, inner in pairs:
        if (text := said(inner)) is not None and isinstance(key, str) and len(text) <= _MAX_FACT:
            yield Fact(name=key, value=text)


def timed_words(row: Mapping[str, Any]) -> tuple[GivenTime, ...]:
    """Words with times from the audio's beginning; none where one of them has none."""
    listed: list[Any] = next((row[name] for name in _WORDS if isinstance(row.get(name), list)), [])
    words = [_word(one, finite(row.get("sample_rate")) or 0.0) for one in listed]
    return tuple(word for word in words if word) if all(words) else ()


def _word(value: Any, sample_rate: float) -> GivenTime | None:
    if not isinstance(value, Mapping):
        return None
    word = next((value[name] for name in ("word", "text", "symbol") if isinstance(value.get(name), str)), None)
    start_s, end_s, duration_s = (finite(value.get(name)) for name in ("start", "end", "duration"))
    if start_s is None and sample_rate > 0:
        first, num = finite(value.get("first_sample")), finite(value.get("num_samples"))
        start_s = None if first is None else first / sample_rate
        duration_s = None if num is None else num / sample_rate
    if duration_s is None and start_s is not None and end_s is not None:
        duration_s = end_s - start_s
    if word is None or start_s is None or duration_s is None or start_s < 0 or duration_s < 0:
        return None
    return GivenTime(word=word.strip(), start_s=start_s, duration_s=duration_s)
