"""`train-stage`: train stages of the language model, each from the checkpoint of the one before; stages that are trained already are skipped.

The first may start from something else: `prefect deployment run train-stage/local --param start=models/SmolLM2-135M --watch`.
"""

from prefect import get_run_logger
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint

from uniaudio.stages.table import STAGES
from uniaudio_flows.build_sequences import build_sequences
from uniaudio_flows.build_sequences import job as sequences_job
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.start import find_start


def job(
    stages: list[str] | None = None,
    size: str | None = None,
    seed: int = 0,
    start: str | None = None,
    allow_leaks: list[str] | None = None,
) -> SequencesToCheckpoint:
    settings, found = load_settings(), find_start(start)
    return SequencesToCheckpoint(
        stages=tuple(stages or STAGES),
        size=size or settings.size,
        seed=seed,
        backbone=found.backbone,
        model=found.model,
        parent=found.parent,
        allow_leaks=tuple(allow_leaks or ()),
        **settings.compute,
    )


@flow("train-stage")
def train_stage(
    stages: list[str] | None = None,
    size: str | None = None,
    seed: int = 0,
    parents: bool = True,
    start: str | None = None,
    allow_leaks: list[str] | None = None,
) -> str:
    """Returns the content id of the last checkpoint.

    `stages`: names in order, by default all of them; `parents`: bring `sequences` up to date first; `start`: what the first
    stage starts from: the folder of a text LLM (LlamaForCausalLM with its tokenizer.json), the folder of a whole model
    (`uniaudio lm import`, `uniaudio lm export`), or a ref of `checkpoint`. By default `UNIAUDIO_BACKBONE`, else fresh
    weights. Sequences are then built of its vocabulary. `allow_leaks`: names of registered evaluation sets
    (`uniaudio evalset list`) that training examples may share sound and text with.
    """
    if parents:
        build_sequences(size=size, start=start)
    else:
        check_up_to_date(sequences_job(start))
    return bring_up_to_date(job(stages, size, seed, start, allow_leaks), get_run_logger()).content_id
