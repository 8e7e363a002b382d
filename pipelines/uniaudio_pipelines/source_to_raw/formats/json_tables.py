"""Tables in JSON and YAML that are read as a whole: a list of objects, an object of objects or of texts, or any of them inside an object.

Reads    {"info": {…}, "data": {"train": [{"audio": {"path": "a.wav"}, "text": "hello"}], "test": […]}}
Row out  (1, {"split": "train", "audio.path": "a.wav", "text": "hello"})

Rows are counted from 1. Lists that are called like splits are all read, of others the longest.
"""

import json
from collections.abc import Iterator
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio
from uniaudio_pipelines.source_to_raw.formats.columns import PATHS, is_named, plain
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Problem
from uniaudio_pipelines.source_to_raw.formats.label_studio import task_rows
from uniaudio_pipelines.source_to_raw.formats.nested import flat, stretches

_MAX_JSON = 256 << 20
"""Bytes of one JSON value, which is read as a whole."""
_KEY = "key"
"""Column of the names in a JSON object of objects."""
_MAX_DEPTH = 5
_MOSTLY = 2
"""Objects for each plain value, from which on an object holds rows; else it is one, of objects inside."""
Row = tuple[int, dict[str, Any]]


def json_rows(folder: Folder, file: str) -> Iterator[Row | Problem]:
    try:
        with folder.open(file) as opened:
            data = opened.read(_MAX_JSON + 1)
        if len(data) > _MAX_JSON:
            detail = f"one JSON value of more than {_MAX_JSON} bytes; JSON lines may be as long as they like"
            yield Problem(path=file, reason="too_large", detail=detail)
            return
        value = json.loads(data.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        yield Problem(path=file, reason="not_json", detail=str(error)[:200])
        return
    yield from rows_of(folder, file, value)


def rows_of(folder: Folder, file: str, value: Any) -> Iterator[Row | Problem]:
    """The rows of a value that was read."""
    for number, one in enumerate(_records(folder, value), 1):
        if not isinstance(one, dict):
            detail = f"item {number}: must be an object, but is {str(one)[:60]}"
            yield Problem(path=file, reason="bad_line", detail=detail)
            continue
        tasks = task_rows(one)
        yield from ((number, flat(row)) for row in (stretches(one) if tasks is None else tasks))


def _records(folder: Folder, value: Any, depth: int = 0) -> Iterator[Any]:
    if not isinstance(value, dict):
        yield from value if isinstance(value, list) else ()
        return
    of_splits = {
        name: one for name, one in value.items() if isinstance(one, dict | list) and one and folder.split(name)
    }
    lists = [one for one in value.values() if isinstance(one, list) and one]
    objects = {name: one for name, one in value.items() if isinstance(one, dict)}
    holders = [one for one in objects.values() if _holds_rows(one)]
    if of_splits and depth < _MAX_DEPTH and not all(map(_is_record, of_splits.values())):
        for name, inner in of_splits.items():
            for one in _records(folder, inner, depth + 1):
                yield {"split": name, **one} if isinstance(one, dict) else one
    elif lists:
        yield from max(lists, key=len)
    elif len(holders) == 1 and depth < _MAX_DEPTH:
        yield from _records(folder, holders[0], depth + 1)
    elif len(objects) > _MOSTLY * (len(value) - len(objects)):
        yield from ({_KEY: name, **one} for name, one in objects.items())
    elif _are_texts(value):
        yield from ({_KEY: name, "text": one} for name, one in value.items())
    else:
        # A manifest of one line is an object of plain values.
        yield value


def _holds_rows(values: dict[str, Any]) -> bool:
    """Whether an object is one that lists of rows, or objects of objects, lie in."""
    of_rows = any(isinstance(one, list) and one and isinstance(one[0], dict) for one in values.values())
    return of_rows or (bool(values) and all(isinstance(one, dict) for one in values.values()))


def _is_record(value: Any) -> bool:
    """Whether an object holds plain values alone."""
    return isinstance(value, dict) and not any(isinstance(one, dict | list) for one in value.values())


def _are_texts(values: dict[str, Any]) -> bool:
    """Whether names of sounds have their texts as values; else they are the columns of one row."""
    if not values or not all(isinstance(one, str) for one in values.values()):
        return False
    are_columns = any(plain(name) in PATHS or is_named(name, "given_text") for name in values)
    return all(map(is_audio, values)) or not (are_columns or any(map(is_audio, values.values())))
