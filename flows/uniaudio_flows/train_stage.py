"""`train-stage`: train stages of the language model, each from the checkpoint of the one before; stages that are trained already are skipped."""

from prefect import get_run_logger
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint

from uniaudio.stages.table import STAGES
from uniaudio_flows.build_sequences import build_sequences
from uniaudio_flows.build_sequences import job as sequences_job
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings


def job(stages: list[str] | None = None, size: str | None = None, seed: int = 0) -> SequencesToCheckpoint:
    settings = load_settings()
    return SequencesToCheckpoint(
        stages=tuple(stages or STAGES),
        size=size or settings.size,
        seed=seed,
        backbone=settings.backbone,
        **settings.compute,
    )


@flow("train-stage")
def train_stage(stages: list[str] | None = None, size: str | None = None, seed: int = 0, parents: bool = True) -> str:
    """Returns the content id of the last checkpoint.

    `stages`: names in order, by default all of them; `parents`: bring `sequences` up to date first.
    """
    if parents:
        build_sequences(size=size)
    else:
        check_up_to_date(sequences_job())
    return bring_up_to_date(job(stages, size, seed), get_run_logger()).content_id
