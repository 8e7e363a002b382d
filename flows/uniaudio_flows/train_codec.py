"""`train-codec`: train a ReasoningCodec on the annotated clips, or take one that is there.

prefect deployment run train-codec/local --param start=models/released-codec --watch
"""

from pathlib import Path

from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec

from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.sizes import CODEC_SIZES
from uniaudio_flows import annotate_corpus
from uniaudio_flows.annotator_models import with_encoders
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> AnnotatedToCodec:
    start = fields.get("start") or settings.codec
    size_name = fields.get("size") or settings.size
    size = CODEC_SIZES.get(size_name, size_name)
    needs_encoders = not start and CodecConfig.preset(size).encoders == "pretrained"
    decided = {
        "size": size,
        "start": str(Path(start).expanduser().resolve()) if start else "",
        "encoders": fields.get("encoders") or (str(settings.models) if needs_encoders else ""),
    }
    return build(AnnotatedToCodec, settings, {**fields, **decided})


STEP = Step(
    flow="train-codec",
    job_class=AnnotatedToCodec,
    job=job,
    after=(annotate_corpus.STEP,),
    prepare=with_encoders,
    optional={
        "start": "By default `UNIAUDIO_CODEC`.",
        "encoders": "By default the run's models, where the size needs encoders.",
    },
)
train_codec = flow(STEP, "Train a ReasoningCodec on the annotated clips, or take the one in `start` as it is.")
