"""After a source was forgotten the edges find the versions that are left, and do not bring it back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.raw_to_annotated.corpus_worker import CorpusWorker
from uniaudio_pipelines.raw_to_annotated.cuts_worker import CutsWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.forget import forget, survey
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import forgotten_clips, records, write_record

from uniaudio.audio.read import read_audio

soundfile = pytest.importorskip("soundfile")
ANNOTATE = RawToAnnotated(annotators=("loudness", "source_caption"))
JOBS: tuple[tuple[Any, Any], ...] = (
    (RawToCuts(annotate=ANNOTATE), CutsWorker),
    (ANNOTATE, CorpusWorker),
    (AnnotatedToInstructions(codes_share=0.0), InstructionWorker),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "bells").mkdir(parents=True)
    (folder / "notes").mkdir()
    lines = []
    for number in range(5):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 30 * number) * np.arange(8_000) / 16_000)
        soundfile.write(folder / "bells" / f"{number}.wav", wave, 16_000)
        lines.append(f'{{"path": "{number}.wav", "domain": "sound", "given_title": "bell {number}"}}')
    (folder / "notes" / "0.txt").write_text("A note about a bell.")
    (folder / "bells" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def ingest(store: Store, source: Path) -> Any:
    return run_edge(store, SourceToRaw(source=str(source)), RawWorker, num_workers=0)


def test_a_forgotten_file_does_not_come_back_and_nothing_is_made_again(tmp_path: Path, source: Path) -> None:
    store = Store(tmp_path / "store")
    ingest(store, source)
    for job, worker in JOBS:
        run_edge(store, job, worker, num_workers=0)
    forget(store, survey(store, "bells/2.wav"))
    heads = {kind: store.head(kind) for kind in ("raw", "cuts", "annotated", "instructions")}
    assert [head.num_rows for head in heads.values() if head is not None] == [5, 5, 5, 4 * 3 + 1]
    for job in (SourceToRaw(source=str(source)), *(job for job, _ in JOBS)):
        plan = job.plan(store)
        assert store.version(plan.kind, plan.plan_id) == heads[plan.kind], f"{plan.kind} would be made again"
    paths = {row.path: row for row in store.rows(ingest(store, source), Raw)}
    assert "bells/2.wav" not in paths
    kept = paths["bells/3.wav"]
    flac = store.open_blob(kept.tar).read_bytes()[kept.tar_offset : kept.tar_offset + kept.tar_size]
    np.testing.assert_array_equal(
        read_audio(flac, suffix=".flac").samples, read_audio(source / "bells" / "3.wav").samples
    )


def test_ingest_that_leaves_a_file_out_writes_what_forgetting_it_leaves(tmp_path: Path, source: Path) -> None:
    store, fresh = Store(tmp_path / "store"), Store(tmp_path / "fresh")
    ingest(store, source)
    forget(store, survey(store, "bells/2.wav"))
    write_record(fresh, records(store)[0])
    made, left = ingest(fresh, source), store.head("raw")
    assert left is not None and (made.plan_id, made.content_id) == (left.plan_id, left.content_id)
    assert made.blobs == left.blobs, "the tars are the same bytes"
    assert made.dropped == left.dropped == {"forgotten": 1}
    assert made.statistics == left.statistics


def test_an_ingest_that_was_planned_before_the_forgetting_stops(tmp_path: Path, source: Path) -> None:
    store, job = Store(tmp_path / "store"), SourceToRaw(source=str(source))
    ingest(store, source)
    plan = job.plan(store)
    forget(store, survey(store, "bells/2.wav"))
    assert len(forgotten_clips(store)) == 1
    with pytest.raises(UsageError, match="was forgotten since this job was planned"):
        RawWorker(str(store.root), job, plan)
