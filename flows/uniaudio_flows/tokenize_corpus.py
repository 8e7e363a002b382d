"""`tokenize-corpus`: every clip that an instruction names becomes codes, once per codec."""

from prefect import get_run_logger
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens

from uniaudio_flows.build_multitask_data import build_multitask_data
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.train_codec import train_codec


def job() -> InstructionsToTokens:
    return InstructionsToTokens(**load_settings().compute)


@flow("tokenize-corpus")
def tokenize_corpus(parents: bool = True) -> str:
    """Returns the content id. `parents`: bring `instructions` and `codec` up to date first."""
    if parents:
        build_multitask_data()
        train_codec(parents=False)
    return bring_up_to_date(job(), get_run_logger()).content_id
