"""A corpus was ingested while another job annotated: the first step was of the older version of raw, the second looked for cuts of the newer
one and ended with "cuts … are made before annotated"."""

from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.cuts_worker import CutsWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

soundfile = pytest.importorskip("soundfile")


def ingest(store: Store, source: Path, name: str) -> None:
    (source / "bells").mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(len(name)).standard_normal(8_000)
    soundfile.write(source / "bells" / name, noise, 8_000)
    run_edge(store, SourceToRaw(source=str(source)), RawWorker, num_workers=0)


def test_both_steps_are_of_the_version_that_the_ref_named_at_the_start(tmp_path: Path) -> None:
    store, source = Store(tmp_path / "store"), tmp_path / "source"
    ingest(store, source, "one.wav")
    before = store.head("raw")
    assert before is not None

    def make(root: str, job: RawToCuts, plan: Plan) -> CutsWorker:
        if store.head("raw") == before:
            ingest(store, source, "another.wav")
        return CutsWorker.with_annotators(root, job, plan, [])

    job = RawToAnnotated(annotators=())
    annotated = run(store, job, num_workers=0, make_worker=make)
    assert (annotated.parents["raw"], annotated.num_rows) == (before.content_id, 1)
    after = run(store, job, num_workers=0, make_worker=make)
    assert after.num_rows == 2, "the next run is of the newer version"
