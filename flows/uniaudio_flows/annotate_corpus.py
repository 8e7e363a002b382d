"""`annotate-corpus`: clips cut from `raw`, with what is known of them, become a version of `annotated`.

A source may say how much of it to use, in `<source>/.limits.json` with fields of the job, as the demo's does:
    {"max_speech_s": 300.0, "max_sound_s": 120.0, "max_music_s": 220.0, "max_pieces_per_clip": 3, "max_text_passages": 200}
"""

from pathlib import Path

from prefect import get_run_logger
from uniaudio_pipelines.jobs import job_from_json
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_schemas.fingerprint import canonical_json

from uniaudio_flows.flow import flow
from uniaudio_flows.ingest_corpus import ingest_corpus
from uniaudio_flows.ingest_corpus import job as ingest_job
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.settings import load_settings

LIMITS = ".limits.json"


def job() -> RawToAnnotated:
    settings = load_settings()
    fields = {**_limits(settings.source), "models": str(settings.models), **settings.compute}
    return job_from_json(RawToAnnotated, canonical_json(fields))


@flow("annotate-corpus")
def annotate_corpus(parents: bool = True) -> str:
    """Returns the content id. `parents`: bring `raw` up to date first."""
    if parents:
        ingest_corpus()
    else:
        check_up_to_date(ingest_job())
    return bring_up_to_date(job(), get_run_logger()).content_id


def _limits(source: Path) -> dict[str, object]:
    import json

    from uniaudio_schemas.errors import DataError

    path = source / LIMITS
    if not path.exists():
        return {}
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must hold JSON, but {error}.") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path}: must hold a JSON object, but holds a {type(fields).__name__}.")
    return fields
