"""`evaluate-checkpoint`: score the newest checkpoint and its codec, each metric beside a trivial baseline."""

from prefect import get_run_logger
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores

from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.train_stage import job as train_job
from uniaudio_flows.train_stage import train_stage


def job() -> CheckpointToScores:
    settings = load_settings()
    return CheckpointToScores(tokenizer=settings.backbone, **settings.compute)


@flow("evaluate-checkpoint")
def evaluate_checkpoint(size: str | None = None, parents: bool = True) -> str:
    """Returns the content id. `size`: preset of codec and model; `parents`: bring `checkpoint` up to date first."""
    if parents:
        train_stage(size=size)
    else:
        check_up_to_date(train_job(size=size))
    return bring_up_to_date(job(), get_run_logger()).content_id
