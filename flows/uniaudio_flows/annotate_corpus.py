"""`annotate-corpus`: clips cut from `raw`, with what is known of them, become a version of `annotated`."""

from prefect import flow, get_run_logger
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated

from uniaudio_flows.ingest_corpus import ingest_corpus
from uniaudio_flows.jobs import bring_up_to_date


@flow(name="annotate-corpus")
def annotate_corpus(parents: bool = True) -> str:
    """Returns the content id. `parents`: bring `raw` up to date first."""
    if parents:
        ingest_corpus()
    return bring_up_to_date(RawToAnnotated(), get_run_logger()).content_id
