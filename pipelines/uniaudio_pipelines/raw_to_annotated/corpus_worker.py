"""One shard of cuts to annotated rows: the same rows, with what follows from the corpus and from the job's policies.

Runs in the driver: it costs milliseconds a shard, and what it knows of the corpus is held once.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.cuts import Annotation, Cut
from uniaudio_schemas.kinds.record import rows, schema_of
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.text.plausibility import TranscriptPolicy, measure_transcript
from uniaudio_pipelines.contamination import Contamination, named
from uniaudio_pipelines.copies import find_copies
from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.raw_to_annotated.corpus import view
from uniaudio_pipelines.raw_to_annotated.drafts import SOURCE
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.raw_to_annotated.languages import without_guesses
from uniaudio_pipelines.raw_to_annotated.speaker_clusters import Voices
from uniaudio_pipelines.running.edge import ShardResult


class CorpusWorker:
    def __init__(self, store_root: str, job: RawToAnnotated, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        raw = self._store.version_with("raw", plan.parents["raw"])
        cuts_plan = RawToCuts(annotate=job).plan(self._store)
        cuts = self._store.version(cuts_plan.kind, cuts_plan.plan_id)
        if cuts is None:
            raise RuntimeError(f"cuts {cuts_plan.plan_id[:8]} are made before annotated.")
        self._cuts = cuts
        self._shards = {shard.unit: shard for shard in cuts.shards}
        self._view = view(self._store, raw, self._copies(raw), self._left_out())
        self._voices = Voices.of(self._store, cuts)
        self._contamination = None
        if evalsets := plan.parameters.get("evalsets"):
            self._contamination = Contamination.find(self._store, raw, named(self._store, evalsets))

    def process(self, unit: str) -> ShardResult:
        shard = self._shards[unit]
        table = self._store.table_of_shard(self._cuts, shard)
        annotated = self._annotated(table)
        dropped = rows(self._store.dropped(replace(self._cuts, shards=[shard])), Dropped) if shard.dropped else ()
        return ShardResult(
            rows=annotated,
            dropped=[Dropped(row_id=one.row_id, reason=one.reason, detail=one.detail) for one in dropped],
            statistics={
                **shard.statistics,
                **{
                    name: _num_filled(annotated[column])
                    for name, column in (("rejected", "rejections"), ("leaking", "leaks"))
                },
            },
        )

    def _annotated(self, table: pa.Table) -> pa.Table:
        """The cuts with the columns of `Annotated`; only a row whose transcript is judged becomes an object."""
        places = self._view.places(table["raw_clip_id"].to_pylist())
        language, annotations = without_guesses(table, self._job)
        columns: dict[str, Any] = {
            **{name: table[name] for name in table.column_names},
            "language": language,
            "annotations": _with_notes_on_splits(annotations, self._view.is_given[places]),
            "split": self._view.splits_of(places),
            "duplicate_cluster": self._clusters(table, places),
            "speaker_cluster": self._voices.clusters_of(table["clip_id"].to_pylist()),
            "rejections": self._rejections(table),
            "leaks": self._contamination.column(table) if self._contamination else [[]] * len(table),
        }
        schema = schema_of(Annotated).arrow
        return pa.table([_column(columns[field.name], field.type) for field in schema], schema=schema)

    def _clusters(self, table: pa.Table, places: np.ndarray) -> list[str]:
        """Cuts of a recording without copies have none either; those of one with copies share its name, since copies may be cut
        elsewhere. Passages have the name of their words."""
        copies = self._view.clusters_of(places)
        facts = zip(table["clip_id"].to_pylist(), table["text"].to_pylist(), copies, strict=True)
        return [(copy or clip) if text is None else _name_of_words(text) for clip, text, copy in facts]

    def _rejections(self, table: pa.Table) -> list[list[str]]:
        reasons: list[list[str]] = [[] for _ in range(len(table))]
        judged = pc.fill_null(pc.not_equal(table["transcript"], ""), False)
        places = np.flatnonzero(judged.to_numpy(zero_copy_only=False))
        for place, row in zip(places, rows(table.filter(judged).combine_chunks(), Cut), strict=True):
            reasons[place] = rejections(row, self._job.text_policy)
        return reasons

    def _copies(self, raw: Manifest) -> Iterator[pa.Table]:
        """Pairs of raw clips that hold the same sound."""
        folder = cache_folder(self._store)
        folder.mkdir(parents=True, exist_ok=True)
        columns = ["clip_id", "num_samples", "sample_rate", "landmarks"]
        tables = (_with_durations(table) for table in self._store.tables(raw, columns))
        yield find_copies(tables, folder=folder, search=self._job.copies)

    def _left_out(self) -> frozenset[str]:
        """Raw clips of which nothing is used: none of them takes a held-out place from another."""
        if not any(self._job.limits_s().values()):
            return frozenset()
        used: set[str] = set()
        for table in self._store.tables(self._cuts, ["raw_clip_id"]):
            used.update(pc.unique(table["raw_clip_id"]).to_pylist())
        raw = self._store.version_with("raw", self._cuts.parents["raw"])
        return (
            frozenset(clip for table in self._store.tables(raw, ["clip_id"]) for clip in table["clip_id"].to_pylist())
            - used
        )


def _column(values: Any, of_type: pa.DataType) -> Any:
    return values if isinstance(values, pa.ChunkedArray | pa.Array) else pa.array(values, of_type)


def _num_filled(lists: pa.ChunkedArray) -> float:
    return float(pc.sum(pc.greater(pc.list_value_length(lists), 0)).as_py() or 0)


def _with_notes_on_splits(annotations: pa.ChunkedArray, is_given: np.ndarray) -> pa.ChunkedArray | pa.Array:
    """With a note at the rows whose split is the source's own."""
    if not is_given.any():
        return annotations
    note = asdict(Annotation(value="split", annotator=SOURCE, version="metadata", confidence=1.0))
    noted = [[*notes, note] if given else notes for notes, given in zip(annotations.to_pylist(), is_given, strict=True)]
    return pa.array(noted, annotations.type)


def _name_of_words(text: str) -> str:
    words = re.sub(r"\W+", " ", text.casefold()).strip()
    return short(hash_json(["text", words]))


def _with_durations(table: pa.Table) -> pa.Table:
    rows_with_landmarks = table.filter(pc.greater(pc.list_value_length(table["landmarks"]), 0))
    seconds = pc.divide(
        pc.cast(rows_with_landmarks["num_samples"], pa.float64()),
        pc.cast(rows_with_landmarks["sample_rate"], pa.float64()),
    )
    return rows_with_landmarks.select(["clip_id", "landmarks"]).append_column("duration_s", seconds)


def rejections(row: Cut, policy: TranscriptPolicy) -> list[str]:
    """Why the row's transcript is not to be trained on."""
    if not row.transcript:
        return []
    notes = {note.value: note for note in row.annotations}
    confidence = notes["transcript"].confidence if "transcript" in notes else None
    # Where the source names the language nobody has to be sure of it by ear.
    is_named = "language" in notes and notes["language"].annotator == SOURCE
    duration_s = row.num_samples / row.sample_rate
    speech_s = (row.speech_fraction or 0.0) * duration_s
    measures = measure_transcript(
        row.transcript,
        duration_s=duration_s,
        num_empty_words=row.num_empty_words,
        no_speech_probability=row.no_speech_probability,
        language_probability=None if is_named else row.language_probability,
        confidence=confidence,
        second_wer=row.second_wer,
        unsaid=row.unsaid_s / speech_s if row.unsaid_s is not None and speech_s else None,
    )
    return policy.rejections(measures)
