"""Records of JSON with more than one level: a recording with a list of what is said in it, as GigaSpeech and WhisperX have it.

Row in   {"path": "POD1.wav", "source": "podcast", "segments": [{"begin_time": 0.5, "end_time": 4.0, "text_tn": "YES"}, …]}
Row out  {"path": "POD1.wav", "source": "podcast", "begin_time": 0.5, "end_time": 4.0, "text_tn": "YES"}, …

Row in   {"identifier": "gov1", "training_data": {"name": ["a.flac", "b.flac"], "label": ["one", "two"], "duration_ms": [900, 800]}}
Row out  {"identifier": "gov1", "name": "a.flac", "text": "one", "duration_ms": 900}, …    of the People's Speech
"""

from collections.abc import Iterator
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.columns import is_named

_TRAINING = "training_data"
_OF_WORDS = ("words", "word_segments", "tokens")
_MAX_DEPTH = 8


def stretches(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record once for each stretch of its list, whose values win; the record itself where it has no such list."""
    if (columns := _columns(record.get(_TRAINING))) is not None:
        shared = {name: value for name, value in record.items() if name != _TRAINING}
        names = ["text" if name == "label" else name for name in columns]
        yield from (
            {**shared, **dict(zip(names, values, strict=True))} for values in zip(*columns.values(), strict=True)
        )
        return
    name = next(
        (name for name, value in record.items() if name not in _OF_WORDS and _is_list_of_stretches(value)), None
    )
    if name is None:
        yield record
        return
    shared = {other: value for other, value in record.items() if other != name and not _is_of_the_whole(other)}
    for one in record[name]:
        if isinstance(one, dict):
            yield {**shared, **one}


def flat(values: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Objects inside become columns: `{"audio": {"path": "a.wav"}}` has `audio.path`."""
    columns: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            columns |= {f"{key}.{inner}": one for inner, one in flat(value, depth + 1).items()}
        else:
            columns[key] = value
    return columns


def _columns(value: Any) -> dict[str, list[Any]] | None:
    """Lists of one length by their names; None where it is nothing of that kind."""
    if not isinstance(value, dict) or not {"name", "label"} <= set(value):
        return None
    lists = {name: one for name, one in value.items() if isinstance(one, list)}
    return lists if len(lists) == len(value) and len({len(one) for one in lists.values()}) == 1 else None


def _is_list_of_stretches(value: Any) -> bool:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    names = list(value[0])
    has_start = any(is_named(name, "start_s") or is_named(name, "start_ms") for name in names)
    return has_start and any(is_named(name, "given_text") for name in names)


def _is_of_the_whole(name: str) -> bool:
    """Times and texts of the recording, which none of its stretches has."""
    return any(
        is_named(name, field)
        for field in ("start_s", "start_ms", "end_s", "end_ms", "duration_s", "duration_ms", "given_text")
    )
