"""Labels of all formats as one Arrow table, made in batches: no label stays a Python object.

Row  {"path": "LibriSpeech/dev-clean/8000/1200/8000-1200-0000.flac", "rank": 0, "is_text": false,
      "label": "{\\"given_text\\": \\"A B C\\", \\"speaker\\": \\"8000\\"}", "said_by": "8000-1200.trans.txt:1"}
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pyarrow as pa
from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.format import Claim, GivenTime, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.table import BROKEN, FORMATS
from uniaudio_pipelines.source_to_raw.recognize import Corpus

LABELS = pa.schema(
    [
        ("path", pa.string()),
        ("rank", pa.int64()),
        ("is_text", pa.bool_()),
        ("label", pa.large_string()),
        ("said_by", pa.string()),
    ]
)
PROBLEMS = pa.schema(
    [("path", pa.string()), ("corpus", pa.string()), ("problem", pa.string()), ("detail", pa.string())]
)
_BATCH = 1 << 13
_MAX_S = 1e7
"""Four months: nothing is recorded for longer, and samples of it can be counted."""
_DEFAULTS = {item.name: item.default for item in fields(Label) if item.name not in ("path", "said_by")}


def all_labels(corpora: list[Corpus]) -> tuple[pa.Table, pa.Table]:
    """`LABELS`, the first to speak of a clip having the lowest rank, and `PROBLEMS`."""
    labels, problems = _Columns(LABELS), _Columns(PROBLEMS)
    rank = 0
    for corpus in corpora:
        for problem in corpus.problems:
            problems.add((problem.path, corpus.name, problem.reason, problem.detail))
        for claim in corpus.claims:
            for one in _labels(corpus, claim):
                if isinstance(one, Problem):
                    problems.add((_printable(corpus.path(one.path)), corpus.name, one.reason, one.detail[:500]))
                    continue
                if why := _wrong_times(one):
                    shown = _printable(corpus.path(one.path))
                    problems.add((shown, corpus.name, "bad_times", f"{why}, says {one.said_by or claim.format}"))
                    continue
                path = _path(corpus, claim, one.path)
                if path is None:
                    shown = _printable(one.path)
                    problems.add((shown, corpus.name, "outside_source", f"named in {one.said_by or claim.format}"))
                    continue
                labels.add((path, rank, one.domain == "text", label_to_json(one), one.said_by or claim.format))
                rank += 1
    return labels.table(), problems.table()


def _wrong_times(label: Label) -> str:
    """Why a stretch is none; empty where it is one."""
    start_s, end_s = label.start_s, label.end_s
    if not 0 <= start_s < _MAX_S or (end_s is not None and not start_s < end_s < _MAX_S):
        return f"a stretch must be 0 <= start < end, but is {start_s} to {end_s} s"
    return "" if label.channel is None or 0 <= label.channel < 1 << 16 else f"channel {label.channel} is none"


def _labels(corpus: Corpus, claim: Claim) -> Iterator[Label | Problem]:
    known = next(one for one in FORMATS if one.name == claim.format)
    try:
        yield from known.labels(corpus.folder, claim)
    except BROKEN as error:
        detail = f"{claim.format}: {' '.join(str(error).split())[:300]}"
        yield Problem(path=claim.label_files[0] if claim.label_files else ".", reason="unreadable", detail=detail)


def _path(corpus: Corpus, claim: Claim, path: str) -> str | None:
    """Path below the source; None where it leaves the source."""
    joined = corpus.path(path)
    if claim.containers and any(path.startswith(f"{container}/") for container in claim.containers):
        return joined
    if "\0" in joined or path.startswith("/"):
        return None
    if "//" in joined or any(part in (".", "..") for part in joined.split("/")):
        joined = posixpath.normpath(joined)
    return None if joined == ".." or joined.startswith("../") else _printable(joined)


def _printable(text: str) -> str:
    """JSON may hold half a surrogate pair, which no column can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def label_to_json(label: Label) -> str:
    """What it says, less its path and who says it: one text for one label."""
    said: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = getattr(label, name)
        if value != default and value not in ("", ()):
            said[name] = value
    if label.facts:
        said["facts"] = [[fact.name, fact.value] for fact in label.facts]
    if label.given_words:
        said["given_words"] = [[one.word, one.start_s, one.duration_s] for one in label.given_words]
    return _printable(json.dumps(said, sort_keys=True, ensure_ascii=False)) if said else ""


def label_from_json(path: str, text: str) -> Label:
    """The inverse of `label_to_json`."""
    said = json.loads(text) if text else {}
    for name in ("given_captions", "given_tags"):
        if name in said:
            said[name] = tuple(said[name])
    said["facts"] = tuple(Fact(name=name, value=value) for name, value in said.get("facts", ()))
    said["given_words"] = tuple(
        GivenTime(word=word, start_s=start_s, duration_s=duration_s)
        for word, start_s, duration_s in said.get("given_words", ())
    )
    return Label(path=path, **said)


class _Columns:
    """Rows in, a table out."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def table(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema)
