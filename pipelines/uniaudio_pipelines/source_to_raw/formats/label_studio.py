"""Tasks of Label Studio, as its exports JSON and JSON-MIN have them: a row of the whole sound, or one a region.

Row in   {"data": {"audio": "/data/upload/1/9f1c2a3b-b.wav"}, "annotations": [{"result": [
           {"id": "r1", "from_name": "transcription", "type": "textarea", "value": {"start": 0.5, "end": 1.5, "text": ["hello"]}}, …]}]}
Row out  {"audio": "/data/upload/1/9f1c2a3b-b.wav", "start": 0.5, "end": 1.5, "text": "hello", "region": ["Speech"]}

Of several annotations the first that is marked as true is taken, else the first that nobody cancelled. Where nobody tells words, the labels of
regions are tags.
Source: https://labelstud.io/guide/task_format
"""

from typing import Any

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio
from uniaudio_pipelines.source_to_raw.formats.columns import is_named

Row = dict[str, Any]
_ANNOTATIONS = ("annotations", "completions")
"""Releases before 1.0 called them completions."""


def task_rows(task: Row) -> list[Row] | None:
    """The rows of a task; None where `task` is none."""
    data = task.get("data")
    name = next((name for name in _ANNOTATIONS if isinstance(task.get(name), list)), None)
    if name is None or not isinstance(data, dict):
        return _rows_of_least(task)
    told = {key: value for key, value in data.items() if isinstance(value, str | int | float)}
    annotations = [one for one in task[name] if isinstance(one, dict) and not one.get("was_cancelled")]
    chosen = next((one for one in annotations if one.get("ground_truth")), next(iter(annotations), {}))
    listed = chosen.get("result")
    results = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [{**told, **row} for row in _regions(results)] or [told]


def _regions(results: list[Row]) -> list[Row]:
    rows: dict[Any, Row] = {}
    for one in results:
        value = one.get("value")
        if not isinstance(value, dict):
            continue
        start_s, end_s = value.get("start"), value.get("end")
        # Results of one region share its id; those of the whole sound have one each.
        key = None if start_s is None else one.get("id") or (start_s, end_s)
        row = rows.setdefault(key if isinstance(key, str | tuple) else None, {})
        if start_s is not None:
            row |= {"start": start_s, "end": end_s, "channel": value.get("channel")}
        row |= _said(one, value)
    regions = [row for key, row in rows.items() if key is not None]
    if not any(row.get("channel") for row in regions):
        # Sounds whose channels are not shown apart have channel 0 everywhere.
        regions = [{**row, "channel": None} for row in regions]
    if regions and not any("text" in row for row in rows.values()):
        return [{"tags" if name == "region" else name: value for name, value in row.items()} for row in regions]
    # The words of the whole are those of no region.
    return regions or [row for row in rows.values() if row]


def _said(one: Row, value: Row) -> Row:
    text, labels, choices = (value.get(name) for name in ("text", "labels", "choices"))
    said: Row = {}
    if text:
        said["text"] = " ".join(map(str, text)) if isinstance(text, list) else text
    if labels:
        said["region"] = labels
    if choices:
        said[str(one.get("from_name") or "choices")] = choices
    return said


def _rows_of_least(task: Row) -> list[Row] | None:
    """JSON-MIN: regions in one list, and their texts in another, or alone."""
    name = next((name for name, value in task.items() if _are_regions(value)), None)
    if name is None or not any(isinstance(value, str) and is_audio(value) for value in task.values()):
        return None
    regions = task[name]
    shared = {
        key: value
        for key, value in task.items()
        if isinstance(value, str | int | float) and not is_named(key, "given_text")
    }
    texts: list[Any] = next((_listed(value) for key, value in task.items() if is_named(key, "given_text")), [])
    if len(texts) != len(regions):
        texts = [None] * len(regions)
    rows = [
        {**shared, "start": region["start"], "end": region["end"], "text": text, "region": region.get("labels")}
        for region, text in zip(regions, texts, strict=True)
    ]
    if any(texts):
        return rows
    return [{**row, "tags": row.pop("region")} for row in rows]


def _are_regions(value: Any) -> bool:
    wanted = {"start", "end", "labels"}
    return (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) and wanted <= set(one) for one in value)
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
