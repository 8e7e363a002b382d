"""The clips that the report plays, each with what is known of it: sound, words under it, every annotation.

Reads    raw, annotated, dropped
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.kinds.annotated import Annotated, Turn, Word
from uniaudio_schemas.kinds.raw import Fact, GivenWord, Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows.report.choice import Chosen, choose
from uniaudio_flows.report.sound import Sound, passage
from uniaudio_flows.report.table import Table, cell, table

_OF_THE_PAGE = {"annotations", "words", "given_words", "turns", "tar", "tar_offset", "tar_size"}
"""Shown elsewhere, or of no use outside the store."""
_LONG = 8
"""Lists of more numbers are counted, not shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A word, or a turn of a voice, at its place under the waveform."""

    text: str
    left: float
    width: float
    room: float
    """Room up to the next mark of the same row; all in percent of the passage."""
    row: int
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    title: str
    marks: list[Mark]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    clip_id: str
    title: str
    labels: list[str]
    warnings: list[str]
    """Why it is not trained on, or not all of it."""
    seconds: float
    sound: Sound | None
    unplayable: str
    """Why there is no sound; else empty."""
    lanes: list[Lane]
    said: list[tuple[str, str]]
    """(what it is, text)."""
    annotations: Table
    origin: Table


def examples(store: Store, annotated: Manifest, raw: Manifest) -> list[Example]:
    """Up to 24 examples."""
    return [_example(store, one) for one in choose(store, annotated, raw)]


def _example(store: Store, chosen: Chosen) -> Example:
    raw, clip = chosen.raw, chosen.annotated
    first, length = (clip.first_sample, clip.num_samples) if clip else (0, raw.num_samples)
    sound, unplayable = None, ""
    try:
        sound = passage(store, raw, first, length)
    except (DataError, StoreError) as error:
        unplayable = str(error)
    num_shown = round(sound.seconds * raw.sample_rate) if sound else 0
    return Example(
        clip_id=clip.clip_id if clip else raw.clip_id,
        title=raw.path,
        labels=[one for one in (raw.corpus, clip.domain if clip else raw.domain, clip.split if clip else None, raw.licence) if one],
        warnings=list(_warnings(chosen)),
        seconds=length / max(raw.sample_rate, 1),
        sound=sound,
        unplayable=unplayable,
        lanes=list(_lanes(clip or raw, num_shown, raw.sample_rate)) if num_shown else [],
        said=[(name, text) for name, text in _texts(clip or raw) if text],
        annotations=_annotations(clip) if clip else table("Annotations", (), ()),
        origin=table("What the source says", ("column", "value"), _values(raw)),
    )  # fmt: skip


def _warnings(chosen: Chosen) -> Iterator[str]:
    if chosen.dropped:
        yield f"dropped as {chosen.dropped.reason}: {chosen.dropped.detail}"
    if clip := chosen.annotated:
        if clip.rejections:
            yield f"transcript rejected: {', '.join(clip.rejections)}"
        if clip.leaks:
            yield f"leaks: {', '.join(clip.leaks)}"
        if chosen.num_recordings > 1:
            yield f"one of {chosen.num_recordings} recordings of one sound, cluster {str(clip.duplicate_cluster)[:8]}"
    yield from chosen.raw.problems


def _texts(row: Annotated | Raw) -> Iterator[tuple[str, str | None]]:
    yield "given text", row.given_text
    if isinstance(row, Annotated):
        yield "transcript", row.transcript
        yield "second transcript", row.second_transcript
        yield "caption", row.caption
        yield "style", row.style
        yield "lyrics", row.lyrics


def _lanes(row: Annotated | Raw, shown: int, sample_rate: int) -> Iterator[Lane]:
    lanes: list[tuple[str, Sequence[Word | GivenWord | Turn]]] = [("given words", row.given_words)]
    if isinstance(row, Annotated):
        lanes += [("words heard", row.words), ("voices", row.turns)]
    for title, marks in lanes:
        if marks:
            yield Lane(title=title, marks=list(_marks(marks, shown, sample_rate)))


def _marks(found: Sequence[Word | GivenWord | Turn], shown: int, sample_rate: int) -> Iterator[Mark]:
    inside = [one for one in sorted(found, key=lambda one: one.first_sample) if one.first_sample < shown]
    for index, one in enumerate(inside):
        row = one.voice % 2 if isinstance(one, Turn) else index % 2
        stop = min(one.first_sample + one.num_samples, shown)
        after = shown if isinstance(one, Turn) or index + 2 >= len(inside) else inside[index + 2].first_sample
        text = f"voice {one.voice + 1}" if isinstance(one, Turn) else one.word
        sure = f", confidence {one.confidence:.2f}" if isinstance(one, Word) else ""
        yield Mark(
            text=text,
            left=100 * one.first_sample / shown,
            width=100 * (stop - one.first_sample) / shown,
            room=100 * (max(after, stop) - one.first_sample) / shown,
            row=row,
            title=f"{text}: {one.first_sample / sample_rate:.2f} to {stop / sample_rate:.2f} s{sure}",
        )


def _annotations(clip: Annotated) -> Table:
    """Every value of the row, with who says so."""
    sources = {one.value: one for one in clip.annotations}
    rows = []
    for name, value in _values(clip):
        source = sources.get(name)
        rows.append(
            (name, value, *((source.annotator, source.version, source.confidence) if source else (None, None, None)))
        )
    return table("Annotations", ("column", "value", "annotator", "version", "confidence"), rows)


def _values(row: Any) -> Iterator[tuple[str, object]]:
    """Column -> value of all that is not empty."""
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if field.name in _OF_THE_PAGE or value is None or not _length(value):
            continue
        yield field.name, _shown(value)


def _length(value: object) -> int:
    return len(value) if hasattr(value, "__len__") else 1


def _shown(value: Any) -> object:
    if not isinstance(value, (list, np.ndarray)):
        return value
    if len(value) > _LONG and not isinstance(value[0], str):
        return f"{len(value)} numbers"
    return [f"{one.name}: {one.value}" if isinstance(one, Fact) else cell(one) for one in value]
