from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.jobs import job_from_json, job_to_json
from uniaudio_pipelines.raw_to_evalset.job import RawToEvalset
from uniaudio_pipelines.raw_to_evalset.worker import EvalsetWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.evalset import EvalsetItem
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import clip_id, example_rows

from uniaudio.text.overlap import REFERENCE_BREAK

JOB = RawToEvalset(name="prompts")


def a_row(number: int = 0, **changes: Any) -> Raw:
    (row,) = example_rows("raw", first=number)
    made: Raw = replace(row, **changes)
    return made


def put_raw(store: Store, units: dict[str, list[Raw]], ref: str = "evalset-prompts") -> Manifest:
    plan = Plan(
        kind="raw", schema_version=newest("raw").version, parents={}, parameters={"units": len(units)}, code_version="test",
        units=sorted(units),
    )  # fmt: skip
    with store.writer(plan, owner="test", ref=ref) as writer:
        for unit, rows in units.items():
            writer.put_shard(unit, rows)
        return writer.publish()


def register(store: Store, *rows: Raw) -> Manifest:
    put_raw(store, {"all": list(rows)})
    return run_edge(store, JOB, EvalsetWorker, num_workers=0, owner="test")


def test_an_item_is_its_clip_with_the_name_of_the_set(tmp_path: Path) -> None:
    store, row = Store(tmp_path), a_row()
    made = register(store, row)
    (item,) = store.rows(made, EvalsetItem)
    for column in ("clip_id", "path", "sha256", "licence", "sample_rate", "num_samples", "audio_sha256"):
        assert getattr(item, column) == getattr(row, column)
    assert np.array_equal(item.landmarks, row.landmarks) and len(item.landmarks) == 3
    assert (item.name, item.text) == ("prompts", row.given_text)
    assert store.head("evalset", "prompts") == made and store.head("evalset") is None


def test_a_document_is_its_text_and_captions_are_references_of_their_own(tmp_path: Path) -> None:
    rows = [
        a_row(0, medium="text", text="a document", given_text=None, sample_rate=0, num_samples=0),
        a_row(1, given_text="said", given_captions=["one is heard", "", "two are"]),
        a_row(2, given_text=None),
        a_row(3, given_text=""),
    ]
    made = register(store := Store(tmp_path), *rows)
    texts = {item.clip_id: item.text for item in store.rows(made, EvalsetItem)}
    assert [texts[clip_id(number)] for number in range(4)] == [
        "a document", REFERENCE_BREAK.join(["said", "one is heard", "two are"]), None, None
    ]  # fmt: skip
    assert made.statistics == {"audio_s": pytest.approx(2.4), "num_with_text": 2.0}


def test_every_shard_of_raw_is_read_and_an_empty_one_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_raw(store, {"a": [a_row(0)], "b": [], "c": [a_row(1), a_row(2)]})
    made = run_edge(store, JOB, EvalsetWorker, num_workers=0, owner="test")
    assert {item.clip_id for item in store.rows(made, EvalsetItem)} == {clip_id(number) for number in range(3)}


def test_the_same_raw_is_the_same_version_and_another_name_is_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = register(store, a_row())
    assert JOB.plan(store).plan_id == made.plan_id
    put_raw(store, {"all": [a_row()]}, "evalset-other")
    assert RawToEvalset(name="other").plan(store).plan_id != made.plan_id


def test_without_its_raw_the_job_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `uniaudio evalset add prompts FOLDER`"):
        JOB.plan(Store(tmp_path))


@pytest.mark.parametrize("name", ["latest", "", "a/b", ".hidden", "x" * 175])
def test_a_name_that_is_no_ref_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="`name` must be"):
        RawToEvalset(name=name).plan(Store(tmp_path))


def test_the_job_survives_its_json() -> None:
    assert job_from_json(RawToEvalset, job_to_json(JOB)) == JOB
