"""`build-sequences`: instructions joined with codes and text ids become training-ready sequences."""

from prefect import get_run_logger
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences

from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.start import find_start
from uniaudio_flows.tokenize_corpus import job as tokenize_job
from uniaudio_flows.tokenize_corpus import tokenize_corpus


def job(start: str | None = None) -> TokensToSequences:
    return TokensToSequences(tokenizer=find_start(start).vocabulary)


@flow("build-sequences")
def build_sequences(size: str | None = None, parents: bool = True, start: str | None = None) -> str:
    """Returns the content id. `size`: preset of the codec; `parents`: bring `tokens` up to date first; `start`: what is to be
    trained on them, whose text tokenizer they then have, as `train-stage` says.
    """
    if parents:
        tokenize_corpus(size=size)
    else:
        check_up_to_date(tokenize_job())
    return bring_up_to_date(job(start), get_run_logger()).content_id
