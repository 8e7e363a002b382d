"""`train-codec`: train a ReasoningCodec on the annotated clips, or take one that is there.

prefect deployment run train-codec/local --param start=models/released-codec --watch
"""

from pathlib import Path

from prefect import get_run_logger
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec

from uniaudio.codec.config import CodecConfig
from uniaudio_flows.annotate_corpus import annotate_corpus
from uniaudio_flows.annotate_corpus import job as annotate_job
from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings


def job(
    size: str | None = None,
    phases: list[str] | None = None,
    num_steps: dict[str, int] | None = None,
    encoders: str | None = None,
    start: str | None = None,
) -> AnnotatedToCodec:
    settings = load_settings()
    size, start = size or settings.size, start or settings.codec
    needs_encoders = not start and CodecConfig.preset(size).encoders == "pretrained"
    return AnnotatedToCodec(
        size=size,
        start=str(Path(start).expanduser().resolve()) if start else "",
        phases=tuple(phases or ()),
        num_steps=num_steps or {},
        encoders=encoders or (str(settings.models) if needs_encoders else ""),
        **settings.compute,
    )


@flow("train-codec")
def train_codec(
    size: str | None = None,
    phases: list[str] | None = None,
    num_steps: dict[str, int] | None = None,
    encoders: str | None = None,
    start: str | None = None,
    parents: bool = True,
) -> str:
    """Returns the content id.

    `size`: preset, by default `UNIAUDIO_SIZE`; `phases`: names in order, by default those of the size; `num_steps`: phase to
    optimizer steps, by default the preset's, such as `{"scalar": 2000}`; `encoders`: folder of pretrained encoders, by default
    `UNIAUDIO_MODELS`; `start`: folder of a codec (`uniaudio codec import`) that the first of `phases` starts from, and that
    is taken as it is where none are named, by default `UNIAUDIO_CODEC`; `parents`: bring `annotated` up to date first.
    """
    if parents:
        annotate_corpus()
    else:
        check_up_to_date(annotate_job())
    return bring_up_to_date(job(size, phases, num_steps, encoders, start), get_run_logger()).content_id
