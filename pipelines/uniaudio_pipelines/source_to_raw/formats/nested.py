"""Stretches inside a record of JSON: a recording with a list of what is said in it, as GigaSpeech and WhisperX have it.

Row in   {"path": "POD1.wav", "source": "podcast", "segments": [{"begin_time": 0.5, "end_time": 4.0, "text_tn": "YES"}, …]}
Row out  {"path": "POD1.wav", "source": "podcast", "begin_time": 0.5, "end_time": 4.0, "text_tn": "YES"}, …
"""

from collections.abc import Iterator
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.columns import is_named


def stretches(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record once for each stretch of its list, whose values win; the record itself where it has no such list."""
    name = next((name for name, value in record.items() if _is_list_of_stretches(value)), None)
    if name is None:
        yield record
        return
    shared = {other: value for other, value in record.items() if other != name and not _is_of_the_whole(other)}
    for one in record[name]:
        if isinstance(one, dict):
            yield {**shared, **one}


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
