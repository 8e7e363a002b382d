"""Subtitles that players draw: SubStation Alpha (.ass, .ssa), and what YouTube sends to its own (.json3).

Reads    Dialogue: 0,0:00:01.20,0:00:03.40,Default,Ann,0,0,0,,{\\i1}Good{\\i0} evening.\\N
         {"events": [{"tStartMs": 1200, "dDurationMs": 2200, "segs": [{"utf8": "Good"}, {"utf8": " evening.", "tOffsetMs": 400}]}]}
Row out  Label(path="talk.wav", start_s=1.2, end_s=3.4, given_text="Good evening.", speaker="Ann")

Source: http://www.tcax.org/docs/ass-specs.htm
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.columns import clock
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import finite, json_object

_OVERRIDE = re.compile(r"\{[^}]*\}")
_DRAWING = re.compile(r"\\p[1-9]")
_SPACE = re.compile(r"\\[Nnh]")
_COLUMNS = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
"""Columns where no line `Format:` names them."""


def styled(one: Beside) -> Iterator[Label | Problem]:
    """Dialogues of SubStation Alpha; the text is the last column, and may hold commas."""
    columns, num_lines = _names(_COLUMNS), 0
    for line in one.text.split("\n"):
        kind, _, rest = line.partition(":")
        if kind.strip() == "Format" and "Text" in rest:
            columns = _names(rest)
        elif kind.strip() == "Dialogue":
            num_lines += 1
            values = dict(zip(columns, rest.strip().split(",", len(columns) - 1), strict=False))
            start_s, end_s = clock(values.get("start", "")), clock(values.get("end", ""))
            said = values.get("text", "")
            text = " ".join(_SPACE.sub(" ", _OVERRIDE.sub("", said)).split())
            if start_s is None or end_s is None or end_s <= start_s:
                detail = f"a dialogue must end behind its beginning: {line[:60]}"
                yield Problem(path=one.file, reason="bad_times", detail=detail)
            elif text and not _DRAWING.search(said):
                speaker = (values.get("name") or values.get("actor") or "").strip()
                yield _label(one, start_s, end_s, text, speaker)
    if not num_lines:
        yield Problem(path=one.file, reason="no_labels", detail="must hold dialogues with times, but has none")


def _names(columns: str) -> list[str]:
    return [name.strip().lower() for name in columns.split(",")]


def json3(one: Beside) -> Iterator[Label | Problem]:
    """Events with words. Automatic captions stand until those below them do: an event ends where the next one with words begins."""
    events = (json_object(one.text) or {}).get("events")
    if not isinstance(events, list):
        yield Problem(path=one.file, reason="not_json", detail='must be an object with "events", but is none')
        return
    cues = [cue for event in events if isinstance(event, dict) and (cue := _cue(event))]
    cues.sort(key=lambda cue: cue[0])
    for (start_s, end_s, text), (next_s, _, _) in pairwise([*cues, (float("inf"), 0.0, "")]):
        if min(end_s, next_s) > start_s:
            yield _label(one, start_s, min(end_s, next_s), text, "")


def _cue(event: dict[str, Any]) -> tuple[float, float, str] | None:
    start_ms, duration_ms, parts = finite(event.get("tStartMs")), finite(event.get("dDurationMs")), event.get("segs")
    if start_ms is None or duration_ms is None or not isinstance(parts, list):
        return None
    texts = (part.get("utf8") for part in parts if isinstance(part, dict))
    text = " ".join("".join(one for one in texts if isinstance(one, str)).split())
    return (start_ms / 1000, (start_ms + duration_ms) / 1000, text) if text else None


def _label(one: Beside, start_s: float, end_s: float, text: str, speaker: str) -> Label:
    return Label(
        path=one.path, start_s=start_s, end_s=end_s, given_text=text, speaker=speaker or None, domain="speech",
        said_by=one.file,
    )  # fmt: skip
