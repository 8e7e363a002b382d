"""`evaluate-checkpoint`: score the newest checkpoint and its codec, each metric beside a trivial baseline."""

from dataclasses import asdict

from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.evalsets import own_cards

from uniaudio_flows import train_stage
from uniaudio_flows.annotator_models import with_judges
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.start import find_start
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> CheckpointToScores:
    tokenizer = fields.get("tokenizer") or find_start(settings).tokenizer
    cards = [asdict(card) for card in own_cards(settings.evalsets)]
    return build(CheckpointToScores, settings, {**fields, "tokenizer": tokenizer, "cards": cards})


STEP = Step(
    flow="evaluate-checkpoint",
    job_class=CheckpointToScores,
    job=job,
    after=(train_stage.STEP,),
    prepare=with_judges,
    optional={"tokenizer": "By default that of `start`."},
    internal={"cards": "they are read from the folder of cards (`UNIAUDIO_EVALSETS`)"},
)
evaluate_checkpoint = flow(
    STEP, "Score a checkpoint and its codec on held-out clips, each metric beside a trivial baseline."
)
