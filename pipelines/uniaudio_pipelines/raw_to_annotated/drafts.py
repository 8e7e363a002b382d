"""Rows of `cuts` while they are made: what is known of a cut so far, by whom, and who has to be asked yet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.kinds.annotated import Annotation
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.raw import Raw

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Annotator, Value, version_of
from uniaudio_pipelines.raw_to_annotated.segmentation import Stretch

SOURCE = "source"
"""Annotator of what the source itself says."""
_SAID = ("language", "speaker", "given_text", "title", "captions", "facts")
_GIVEN = (
    "domain", "speaker", "given_text", "given_title", "given_tags", "given_captions", "given_words", "language", "facts",
    "mono_channel",
)  # fmt: skip
"""Columns of raw that an annotator may look at."""
_BY_RULES = ("domain", "given_text", "given_words")
"""Columns that cutting fills, in the name of whoever it went by."""


@dataclass(kw_only=True)
class Draft:
    columns: dict[str, Any]
    notes: list[Annotation]
    asked: set[str]
    """`name version` of who was asked."""
    renewed: set[str] = field(default_factory=set)
    """Columns that an annotator filled or emptied in this run."""
    speech: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """Probabilities of the voice-activity detector, a value each 32 ms; empty until somebody listens."""

    @property
    def domain(self) -> str:
        return str(self.columns["domain"])

    @property
    def known(self) -> dict[str, Any]:
        """The columns that somebody filled."""
        return {note.value: self.columns[note.value] for note in self.notes if note.value in self.columns}

    def needs(self, annotator: Annotator) -> bool:
        """Whether the annotator is concerned, and was not asked in this version, or what it looks at is new."""
        if self.domain not in annotator.domains:
            return False
        return f"{annotator.name} {version_of(annotator)}" not in self.asked or bool(annotator.reads & self.renewed)

    def fill(self, annotator: Annotator, values: Sequence[Value]) -> None:
        """Take the values in place of what the annotator said before."""
        old = {note.value for note in self.notes if note.annotator == annotator.name} - set(_BY_RULES)
        for column in old:
            self.columns.pop(column, None)
        self.notes = [note for note in self.notes if note.value not in old]
        for value in values:
            self.columns[value.column] = value.value
            self.note(value.column, annotator.name, version_of(annotator), value.confidence)
        self.renewed |= old | {value.column for value in values}
        self.asked = {one for one in self.asked if not one.startswith(f"{annotator.name} ")}
        self.asked.add(f"{annotator.name} {version_of(annotator)}")

    def note(self, column: str, annotator: str, version: str, confidence: float | None) -> None:
        """Say who filled a column; a later word replaces an earlier one."""
        self.notes = [note for note in self.notes if note.value != column]
        self.notes.append(Annotation(value=column, annotator=annotator, version=version, confidence=confidence))

    def row(self) -> Cut:
        return Cut(**self.columns, annotations=self.notes, asked=sorted(self.asked))


def draft_of(raw: Raw, stretch: Stretch, *, is_whole: bool) -> Draft:
    """A cut of which nobody was asked yet."""
    cut = stretch.cut
    place = [raw.clip_id, cut.first_sample, cut.num_samples]
    columns = {
        **_of_source(raw),
        "clip_id": raw.clip_id if is_whole else short(hash_json(place)),
        "domain": stretch.domain,
        "first_sample": cut.first_sample,
        "num_samples": cut.num_samples,
        "given_text": raw.given_text if is_whole else None,
    }
    return Draft(columns=columns, notes=[stretch.decision, *_said(columns)], asked={said_by(raw)})


def passage_of(raw: Raw, first_character: int, text: str, *, is_whole: bool) -> Draft:
    """A passage of a document."""
    place = [raw.clip_id, first_character, len(text)]
    columns = {
        **_of_source(raw),
        "clip_id": raw.clip_id if is_whole else short(hash_json(place)),
        "domain": "text",
        "text": text,
    }
    return Draft(columns=columns, notes=_said(columns), asked={said_by(raw)})


def draft_again(raw: Raw, row: Cut, annotators: Sequence[Annotator]) -> Draft:
    """A cut of an older version: what those said who would be asked today, and what the source says now."""
    columns = {name: getattr(row, name) for name in ("clip_id", "domain", "first_sample", "num_samples", "given_text")}
    columns |= {name: value for name, value in _of_source(raw).items() if name not in columns}
    current_versions = {f"{one.name} {version_of(one)}" for one in annotators}
    draft = Draft(
        columns=columns, notes=[], asked={said_by(raw)} | {one for one in row.asked if one in current_versions}
    )
    for note in row.annotations:
        if note.value in _BY_RULES or f"{note.annotator} {note.version}" in draft.asked:
            draft.columns[note.value] = getattr(row, note.value)
            draft.notes.append(note)
    draft.notes += [note for note in _said(columns) if note.value not in draft.known]
    return draft


def said_by(raw: Raw) -> str:
    """Stands in `asked` for what the source says: when that changes, all are asked again."""
    source_values = {name: getattr(raw, name) for name in _GIVEN}
    return f"{SOURCE} {short(hash_json(_plain(source_values)))[:12]}"


def _plain(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass

    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _of_source(raw: Raw) -> dict[str, Any]:
    return {
        "raw_clip_id": raw.clip_id,
        "corpus": raw.corpus,
        "path": raw.path,
        "licence": raw.licence,
        "sample_rate": raw.sample_rate,
        "channels": raw.channels,
        "language": raw.language,
        "speaker": raw.speaker,
        "title": raw.given_title,
        "captions": list(raw.given_captions),
        "facts": list(raw.facts),
        "part_of": raw.part_of,
        "part": raw.part,
    }


def _said(columns: dict[str, Any]) -> list[Annotation]:
    return [
        Annotation(value=name, annotator=SOURCE, version="metadata", confidence=1.0)
        for name in _SAID
        if columns.get(name)
    ]


def seconds_of(drafts: Iterable[Draft], domain: str) -> float:
    return float(sum(one.columns["num_samples"] / one.columns["sample_rate"] for one in drafts if one.domain == domain))
