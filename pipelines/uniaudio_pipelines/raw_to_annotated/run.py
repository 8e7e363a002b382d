"""Both steps of the edge: `cuts`, by workers that hear each clip alone; then `annotated`, in the driver, from what follows from all."""

from dataclasses import replace

from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_pipelines.jobs import parent
from uniaudio_pipelines.raw_to_annotated.corpus_worker import CorpusWorker
from uniaudio_pipelines.raw_to_annotated.cuts_worker import CutsWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.running.bench import MakeWorker
from uniaudio_pipelines.running.edge import run_edge


def run(
    store: Store,
    job: RawToAnnotated,
    owner: str = "driver",
    *,
    num_workers: int | None = None,
    make_worker: MakeWorker = CutsWorker,
) -> Manifest:
    """Bring `annotated` up to date; `num_workers` 0 works in this process."""
    # The ref may move while the cuts are made: both steps are of the version that it names now.
    job = replace(job, raw_ref=parent(store, "raw", "ingest-corpus", job.raw_ref).plan_id)
    plan = job.plan(store)
    if store.version(plan.kind, plan.plan_id) is None:
        run_edge(store, RawToCuts(annotate=job, ref=job.ref), make_worker, num_workers=num_workers, owner=owner)
    return run_edge(store, job, CorpusWorker, num_workers=0, owner=owner)
