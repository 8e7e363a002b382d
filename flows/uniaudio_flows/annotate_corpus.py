"""`annotate-corpus`: clips cut from `raw`, with what is known of them, become a version of `annotated`.

A source may say how much of it to use, in `<source>/.limits.json` with fields of the job, as the demo's does:
    {"max_speech_s": 300.0, "max_sound_s": 120.0, "max_music_s": 220.0, "max_pieces_per_clip": 3, "max_text_passages": 200}
A field that a run gives, other than its default, counts more.
"""

from pathlib import Path

from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_schemas.plain import json_object

from uniaudio_flows import ingest_corpus
from uniaudio_flows.annotator_models import with_annotators_models
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.steps import Extra, Fields, Step, build

LIMITS = ".limits.json"


def job(settings: Settings, fields: Fields) -> RawToAnnotated:
    job_fields = dict(fields)
    if job_fields.pop("source_limits", True):
        defaults = build(RawToAnnotated, settings, {})
        plain = build(RawToAnnotated, settings, job_fields)
        limits = _limits(settings.source)
        same = {name for name in limits if getattr(plain, name, None) == getattr(defaults, name, None)}
        job_fields |= {name: value for name, value in limits.items() if name in same}
    return build(RawToAnnotated, settings, job_fields)


def _limits(source: Path) -> dict[str, object]:
    path = source / LIMITS
    return json_object(path.read_bytes(), str(path)) if path.exists() else {}


STEP = Step(
    flow="annotate-corpus",
    job_class=RawToAnnotated,
    job=job,
    after=(ingest_corpus.STEP,),
    prepare=with_annotators_models,
    extra={
        "source_limits": Extra(
            type=bool, default=True, help=f"Whether `{LIMITS}` in the source counts for fields left at their defaults."
        )
    },
)
annotate_corpus = flow(STEP, "Cut the raw clips and say what models and measurements find in them.")
