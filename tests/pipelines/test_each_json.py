"""Each class that is read from JSON, read with one value somewhere inside changed: it, or one line that says where it is wrong."""

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_flows.services import Service
from uniaudio_pipelines.jobs import job_from_json
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store.forgotten import Forgotten
from uniaudio_schemas.store.lease import Lease
from uniaudio_schemas.store.manifest import Manifest, ShardInfo
from uniaudio_schemas.testing import a_run

from tests.schemas.any_json import changed, check
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.lm.config import LMConfig
from uniaudio.run.folder import About
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.stages.table import stage_config

EDGES = sorted(path.parent.name for path in Path(__file__).parents[2].glob("pipelines/uniaudio_pipelines/*/job.py"))
JOBS = [
    job
    for edge in EDGES
    for job in vars(importlib.import_module(f"uniaudio_pipelines.{edge}.job")).values()
    if getattr(job, "EDGE", None) == edge
]
SHARD = ShardInfo(
    unit="a", sha256="0", num_rows=1, num_bytes=2, dropped={"short": 1}, statistics={"audio_s": 1.5}, blobs=["1"]
)
INSTANCES: list[Any] = [
    Manifest(
        kind="raw", schema_version=2, plan_id="0", content_id="1", parents={"raw": "2"}, parameters={"a": [1]},
        code_version="1", numerics="", shards=[SHARD],
    ),
    Lease(token=1, owner="a", expires_at=0.5),
    Forgotten(raw=["0"], clips=[], examples=[], models=[{"a": 1}], rewritten=[["raw", "0", "1"]]),
    a_run(),
    CodecConfig.preset("debug"),
    LMConfig.preset("debug", Vocabulary()),
    Vocabulary(),
    stage_config("stage3"),
    codec_phase("grpo", "debug"),
    About(tasks=["asr"], codec_fingerprint=""),
    Service(name="ray", pid=1, started=0.5),
]  # fmt: skip


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: type(instance).__name__)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_value_is_the_class_or_the_error(instance: Any, data: st.DataObject) -> None:
    check(type(instance), changed(json.loads(json.dumps(asdict(instance))), data))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_changed_field_is_the_job_or_a_usage_error(job: Any, data: st.DataObject) -> None:
    values = {name: field.default for name, field in job.__dataclass_fields__.items() if field.init}
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float | tuple)}
    try:
        made = job_from_json(job, json.dumps(changed(plain, data)))
    except UsageError as error:
        assert str(error).startswith("`job`: ")
    else:
        assert type(made) is job
