"""`everything`: from a folder of audio to a scored model, one subflow an edge. START HERE.

source ─► raw ─► annotated ─► instructions ─► tokens ─► sequences ─► checkpoint ─► scores
                     └──────► codec ───────────┘
"""

from collections.abc import Callable
from typing import Any

from prefect import get_run_logger

from uniaudio_flows.annotate_corpus import annotate_corpus
from uniaudio_flows.annotate_corpus import job as annotate_job
from uniaudio_flows.build_multitask_data import build_multitask_data
from uniaudio_flows.build_multitask_data import job as build_job
from uniaudio_flows.build_sequences import build_sequences
from uniaudio_flows.build_sequences import job as sequences_job
from uniaudio_flows.evaluate_checkpoint import evaluate_checkpoint
from uniaudio_flows.evaluate_checkpoint import job as evaluate_job
from uniaudio_flows.flow import flow
from uniaudio_flows.ingest_corpus import ingest_corpus
from uniaudio_flows.ingest_corpus import job as ingest_job
from uniaudio_flows.jobs import published
from uniaudio_flows.tokenize_corpus import job as tokenize_job
from uniaudio_flows.tokenize_corpus import tokenize_corpus
from uniaudio_flows.train_codec import job as codec_job
from uniaudio_flows.train_codec import train_codec
from uniaudio_flows.train_stage import job as train_job
from uniaudio_flows.train_stage import train_stage


@flow("everything")
def everything(size: str | None = None, start: str | None = None, allow_leaks: list[str] | None = None) -> str:
    """Returns the content id of the scores. `size`: preset of codec and model, by default `UNIAUDIO_SIZE`; `start` and
    `allow_leaks`: what training starts from and in spite of, as `train-stage` says.
    """
    _step(ingest_job(), lambda: ingest_corpus())
    _step(annotate_job(), lambda: annotate_corpus(parents=False))
    _step(codec_job(size), lambda: train_codec(size=size, parents=False))
    _step(build_job(), lambda: build_multitask_data(parents=False))
    _step(tokenize_job(), lambda: tokenize_corpus(parents=False))
    _step(sequences_job(start), lambda: build_sequences(parents=False, start=start))
    trained: dict[str, Any] = {"size": size, "start": start, "allow_leaks": allow_leaks}
    _step(train_job(**trained), lambda: train_stage(parents=False, **trained))
    return _step(evaluate_job(start), lambda: evaluate_checkpoint(parents=False, **trained))


def _step(job: Any, run: Callable[[], str]) -> str:
    """A subflow costs Prefect a second, so one that would do nothing is not started."""
    found = published(job, get_run_logger())
    return run() if found is None else found.content_id
