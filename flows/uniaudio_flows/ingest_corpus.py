"""`ingest-corpus`: a folder of audio and text becomes a version of `raw`."""

from uniaudio_pipelines.source_to_raw.job import SourceToRaw

from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> SourceToRaw:
    return build(SourceToRaw, settings, fields)


STEP = Step(flow="ingest-corpus", job_class=SourceToRaw, job=job)
ingest_corpus = flow(STEP, "Read a folder of audio and text files into a version of `raw`.")
