"""`tokenize-corpus`: every clip that an instruction names becomes codes, once per codec."""

from prefect import get_run_logger
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens

from uniaudio_flows.build_multitask_data import build_multitask_data
from uniaudio_flows.build_multitask_data import job as build_job
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.train_codec import job as codec_job
from uniaudio_flows.train_codec import train_codec


def job() -> InstructionsToTokens:
    return InstructionsToTokens(**load_settings().compute)


@flow("tokenize-corpus")
def tokenize_corpus(size: str | None = None, parents: bool = True) -> str:
    """Returns the content id. `size`: preset of the codec; `parents`: bring `instructions` and `codec` up to date first."""
    if parents:
        build_multitask_data()
        train_codec(size=size, parents=False)
    else:
        check_up_to_date(build_job())
        check_up_to_date(codec_job(size))
    return bring_up_to_date(job(), get_run_logger()).content_id
