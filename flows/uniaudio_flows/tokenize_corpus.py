"""`tokenize-corpus`: every clip that an instruction names becomes codes, once per codec."""

from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens

from uniaudio_flows import build_multitask_data, train_codec
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> InstructionsToTokens:
    return build(InstructionsToTokens, settings, fields)


STEP = Step(
    flow="tokenize-corpus",
    job_class=InstructionsToTokens,
    job=job,
    after=(train_codec.STEP, build_multitask_data.STEP),
)
tokenize_corpus = flow(STEP, "Encode every clip that the instructions name and that has no codes yet.")
