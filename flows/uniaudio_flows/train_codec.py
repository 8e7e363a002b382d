"""`train-codec`: train a ReasoningCodec on the annotated clips."""

from prefect import get_run_logger
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec

from uniaudio_flows.annotate_corpus import annotate_corpus
from uniaudio_flows.annotate_corpus import job as annotate_job
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings


def job(size: str | None = None) -> AnnotatedToCodec:
    settings = load_settings()
    return AnnotatedToCodec(size=size or settings.size, **settings.compute)


@flow("train-codec")
def train_codec(size: str | None = None, parents: bool = True) -> str:
    """Returns the content id. `size`: preset, by default `UNIAUDIO_SIZE`; `parents`: bring `annotated` up to date first."""
    if parents:
        annotate_corpus()
    else:
        check_up_to_date(annotate_job())
    return bring_up_to_date(job(size), get_run_logger()).content_id
