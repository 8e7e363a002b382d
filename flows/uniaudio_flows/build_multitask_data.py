"""`build-multitask-data`: the annotated clips become training examples of every task."""

from prefect import get_run_logger
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

from uniaudio_flows.annotate_corpus import annotate_corpus
from uniaudio_flows.annotate_corpus import job as annotate_job
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date


def job() -> AnnotatedToInstructions:
    return AnnotatedToInstructions()


@flow("build-multitask-data")
def build_multitask_data(parents: bool = True) -> str:
    """Returns the content id. `parents`: bring `annotated` up to date first."""
    if parents:
        annotate_corpus()
    else:
        check_up_to_date(annotate_job())
    return bring_up_to_date(job(), get_run_logger()).content_id
