"""`build-sequences`: instructions joined with codes and text ids become training-ready sequences."""

from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences

from uniaudio_flows import tokenize_corpus
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.start import find_start
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> TokensToSequences:
    tokenizer = fields.get("tokenizer") or find_start(settings).vocabulary
    return build(TokensToSequences, settings, {**fields, "tokenizer": tokenizer})


STEP = Step(
    flow="build-sequences",
    job_class=TokensToSequences,
    job=job,
    after=(tokenize_corpus.STEP,),
    optional={"tokenizer": "By default that of `start`."},
)
build_sequences = flow(
    STEP, "Lay the instructions out as ids: joined with the codes of their clips, ready to train on."
)
