"""`train-stage`: train stages of the language model, each from the checkpoint of the one before; stages that are trained already are skipped.

The first may start from something else: `prefect deployment run train-stage/local --param start=models/SmolLM2-135M --watch`.
"""

from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint

from uniaudio_flows import build_sequences
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.start import find_start
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> SequencesToCheckpoint:
    start = find_start(settings)
    decided = {"backbone": start.backbone, "model": start.model, "parent": start.parent}
    return build(SequencesToCheckpoint, settings, {**fields, **decided})


STEP = Step(
    flow="train-stage",
    job_class=SequencesToCheckpoint,
    job=job,
    after=(build_sequences.STEP,),
    internal=dict.fromkeys(
        ("backbone", "model", "parent"), "`start` of the run says it, and sequences and scores agree with it"
    ),
)
train_stage = flow(STEP, "Train stages of the language model, each from the checkpoint of the one before.")
