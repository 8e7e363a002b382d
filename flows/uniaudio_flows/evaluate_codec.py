"""`evaluate-codec`: what the newest codec's tokens are worth: reconstruction beside other codecs, perplexity, understanding.

prefect deployment run evaluate-codec/local --param parts='["reconstruction"]' --watch
"""

from uniaudio_pipelines.codec_to_scores.job import CodecToScores

from uniaudio_flows import train_codec
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> CodecToScores:
    return build(CodecToScores, settings, fields)


STEP = Step(flow="evaluate-codec", job_class=CodecToScores, job=job, after=(train_codec.STEP,))
evaluate_codec = flow(
    STEP,
    "Score a codec: what it reconstructs beside other codecs, how well its tokens are predicted, what is understood.",
)
