"""`evaluate-checkpoint`: score the newest checkpoint and its codec, each metric beside a trivial baseline."""

from prefect import get_run_logger
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores

from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.start import find_start
from uniaudio_flows.train_stage import job as train_job
from uniaudio_flows.train_stage import train_stage


def job(start: str | None = None) -> CheckpointToScores:
    return CheckpointToScores(tokenizer=find_start(start).tokenizer, **load_settings().compute)


@flow("evaluate-checkpoint")
def evaluate_checkpoint(
    size: str | None = None, parents: bool = True, start: str | None = None, allow_leaks: list[str] | None = None
) -> str:
    """Returns the content id. `size`: preset of codec and model; `parents`: bring `checkpoint` up to date first; `start` and
    `allow_leaks`: what it was trained from and in spite of, as `train-stage` says.
    """
    if parents:
        train_stage(size=size, start=start, allow_leaks=allow_leaks)
    else:
        check_up_to_date(train_job(size=size, start=start, allow_leaks=allow_leaks))
    return bring_up_to_date(job(start), get_run_logger()).content_id
