"""JSON beside a sound: one record of it, or a list of what is said in it.

Reads    {"text": "Hello you.", "speaker": 17}          or    {"language": "en", "segments": [{"start": 0.5, "end": 1.5, "text": "Hello you."}, …]}
Row out  Label(path="a.wav", given_text="Hello you.", speaker="17")    or    Label(path="a.wav", start_s=0.5, end_s=1.5, given_text="Hello you.")

The text of the whole is believed before its segments, unless they say who speaks. What recognizers write is read as `recognizers` says.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.beside import Beside, in_seconds
from uniaudio_pipelines.source_to_raw.formats.columns import as_list, label, language_code, meanings, text_of
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import json_object
from uniaudio_pipelines.source_to_raw.formats.nested import flat, stretches
from uniaudio_pipelines.source_to_raw.formats.recognizers import recognized
from uniaudio_pipelines.source_to_raw.formats.samples import timed_words

_SEGMENTS = "segments"


def json_beside(one: Beside) -> Iterator[Label | Problem]:
    values = _values(one.text)
    if values is None:
        yield Problem(path=one.file, reason="not_json", detail="must be one JSON object")
        return
    try:
        yield from in_seconds(one, [_label(one, row) for row in recognized(values) or _rows(one, values)])
    except ValueError as error:
        yield Problem(path=one.file, reason="bad_metadata", detail=str(error))


def _values(text: str) -> dict[str, Any] | None:
    """The object; of a list, an object that holds it."""
    values = json_object(text)
    if values is None and text.startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return {_SEGMENTS: listed} if any(isinstance(item, dict) for item in listed) else None
    return values


def _rows(one: Beside, values: dict[str, Any]) -> list[dict[str, Any]]:
    inside = list(stretches(values))
    speakers = {str(row["speaker"]) for row in inside if row.get("speaker") is not None}
    if len(speakers) > 1 or "given_text" not in meanings(list(values), one.folder, "").values():
        return inside
    # What Whisper writes has the times of words in its segments.
    listed = values.get(_SEGMENTS)
    words = (
        [word for row in listed if isinstance(row, dict) for word in row.get("words") or ()]
        if isinstance(listed, list)
        else []
    )
    return [{"words": words, **values}]


def _label(one: Beside, row: dict[str, Any]) -> Label:
    words = timed_words(row)
    plain = {name: value for name, value in flat(row).items() if not _is_data(value)}
    made = label(one.path, plain, meanings(list(plain), one.folder, ""), one.folder, one.file, None)
    return replace(made, given_words=words)


def _is_data(value: Any) -> bool:
    """Lists of objects and of numbers, such as tokens, are nothing that anybody reads."""
    return isinstance(value, list) and not all(isinstance(one, str) for one in value)


def download(one: Beside) -> Iterator[Label | Problem]:
    """What yt-dlp writes of a download; its description advertises more often than it describes."""
    values = json_object(one.text)
    if values is None:
        yield Problem(path=one.file, reason="not_json", detail="must be one JSON object")
        return
    facts = tuple(
        Fact(name=name, value=text_of(value)) for name in ("uploader", "webpage_url", "upload_date") if (value := values.get(name))
    )  # fmt: skip
    title, language, tags = (values.get(name) for name in ("title", "language", "tags"))
    yield Label(
        path=one.path, given_title=title if isinstance(title, str) else None, facts=facts, said_by=one.file,
        language=language_code(language) if isinstance(language, str) else None, licence=text_of(values.get("license") or "") or None,
        given_tags=tuple(as_list(tags, splits=True)) if isinstance(tags, list) and tags else (),
    )  # fmt: skip
