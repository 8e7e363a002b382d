"""`evaluate-checkpoint`: score the newest checkpoint and its codec, each metric beside a trivial baseline."""

from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores

from uniaudio_flows import train_stage
from uniaudio_flows.annotator_models import with_judges
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.start import find_start
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> CheckpointToScores:
    tokenizer = fields.get("tokenizer") or find_start(settings).tokenizer
    return build(CheckpointToScores, settings, {**fields, "tokenizer": tokenizer})


STEP = Step(
    flow="evaluate-checkpoint",
    job_class=CheckpointToScores,
    job=job,
    after=(train_stage.STEP,),
    prepare=with_judges,
    optional={"tokenizer": "By default that of `start`."},
)
evaluate_checkpoint = flow(
    STEP, "Score a checkpoint and its codec on held-out clips, each metric beside a trivial baseline."
)
