"""What is said of audio that lies inside a container: the row of a table, or the JSON beside a member of a tar, to a label.

Row in   {"id": "1034-0", "text": "A B", "speaker_id": 7, "begin_time": 3.1, "words": [{"word": "A", "start": 0.1, "end": 0.3}, …]}
Row out  Label(path="train.tar/1034-0.flac", utterance="1034-0", given_text="A B", speaker="7", given_words=(GivenTime(…), …),
               facts=(Fact(name="begin_time", value="3.1"),))

Such audio has been cut already: times and channels beside it are those of the recording it came from, and facts, unless the card says
otherwise. Columns mean what `columns` says.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from uniaudio_schemas.raw import Fact

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


def sample_label(path: str, row: Mapping[str, Any], folder: Folder, *, is_cut: bool = True, **known: Any) -> Label:
    """The label of the audio `path`, which is what the row is about. `is_cut`: as said above; else the row's times say which stretch of
    the file it means. `known`: fields that hold where the row says nothing of them. ValueError where a time that is used is none."""
    useless = _MEASURED | _DURATIONS if is_cut else _MEASURED
    values = {name: value for name, value in row.items() if columns.plain(name) not in useless}
    words = _words(row)
    made: dict[str, Any] = {"given_words": words} if words else {}
    for name in _WORDS if words else ():
        values.pop(name, None)
    utterance = next((name for wanted in _UTTERANCE for name in values if columns.plain(name) == wanted), None)
    if utterance is not None and utterance not in folder.card.columns.values():
        made["utterance"] = said(values.pop(utterance)) or known.get("utterance")
    found = columns.meanings(list(values), folder, "")
    meaning = {column: field for column, field in found.items() if _is_of_it(column, field, folder, is_cut)}
    plain_values = {column: value for column, value in values.items() if column in meaning}
    for column, field in list(meaning.items()):
        if field == "given_text" and isinstance(plain_values.get(column), list):
            meaning[column] = "given_captions"  # a transcript is one; of captions there are many
    facts = tuple(fact for column, value in values.items() if column not in meaning for fact in facts_of(column, value))
    label = columns.label(path, plain_values, meaning, folder, known.get("said_by", ""), known.get("split"))
    return _completed(label, facts, {**known, **made})


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


def _is_of_it(column: str, field: str, folder: Folder, is_cut: bool) -> bool:
    is_of_a_stretch = field == "channel" or field.startswith(("start_", "end_", "duration_"))
    return field != "path" and (not (is_cut and is_of_a_stretch) or column in folder.card.columns.values())


def _completed(label: Label, facts: tuple[Fact, ...], known: Mapping[str, Any]) -> Label:
    more = {name: value for name, value in known.items() if not getattr(label, name)}
    return replace(label, **{**more, "facts": (*label.facts, *facts)})


def _words(row: Mapping[str, Any]) -> tuple[GivenTime, ...]:
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
    return GivenTime(word=word, start_s=start_s, duration_s=duration_s)
