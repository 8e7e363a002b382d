"""`build-sequences`: instructions joined with codes and text ids become training-ready sequences."""

from prefect import get_run_logger
from uniaudio_pipelines.tokens_to_sequences.job import BYTES, TokensToSequences

from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.tokenize_corpus import job as tokenize_job
from uniaudio_flows.tokenize_corpus import tokenize_corpus


def job() -> TokensToSequences:
    return TokensToSequences(tokenizer=load_settings().backbone or BYTES)


@flow("build-sequences")
def build_sequences(size: str | None = None, parents: bool = True) -> str:
    """Returns the content id. `size`: preset of the codec; `parents`: bring `tokens` up to date first."""
    if parents:
        tokenize_corpus(size=size)
    else:
        check_up_to_date(tokenize_job())
    return bring_up_to_date(job(), get_run_logger()).content_id
