"""`ingest-corpus`: a folder of audio and text becomes a version of `raw`."""

from prefect import get_run_logger
from uniaudio_pipelines.source_to_raw.job import SourceToRaw

from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date
from uniaudio_flows.settings import load_settings


def job(source: str | None = None) -> SourceToRaw:
    return SourceToRaw(source=source or str(load_settings().source))


@flow("ingest-corpus")
def ingest_corpus(source: str | None = None) -> str:
    """Returns the content id. `source`: the folder, by default `UNIAUDIO_SOURCE`."""
    return bring_up_to_date(job(source), get_run_logger()).content_id
