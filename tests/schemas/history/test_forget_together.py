"""Forgetting while others work, and where versions share names and plans."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_schemas.history.forget import forget, survey
from uniaudio_schemas.history.traces import DATA_KINDS, holders, raw_clips, trace
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import records
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import clip_id, example_rows

from tests.schemas import arc


@pytest.fixture
def full(memory_folder: Path) -> Store:
    return arc.make_arc(memory_folder / "store")


def still_held(store: Store, number: int) -> list[str]:
    return [holder.manifest.kind for holder in holders(store, trace(store, [clip_id(number)]))]


def files_with_secret(store: Store) -> list[Path]:
    return [path for path in Path(store.root).rglob("*") if path.is_file() and arc.SECRET in path.read_bytes()]


def publish_annotated(store: Store, raw: Manifest, numbers: range, **parameters: int) -> Manifest:
    rows = [row for number in numbers for row in example_rows("annotated", first=number)]
    rows = [
        replace(row, transcript=arc.word(number), given_text=None) for row, number in zip(rows, numbers, strict=True)
    ]
    plan = Plan(
        kind="annotated", schema_version=3, parents={"raw": raw.content_id}, parameters=parameters,
        code_version="arc-1", units=["all"],
    )  # fmt: skip
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("all", rows)
        return writer.publish()


def publish_raw(store: Store, paths: dict[int, str], **parameters: int) -> Manifest:
    rows = [
        replace(example_rows("raw", first=number)[0], path=path, corpus=path.partition("/")[0], tar="", tar_size=0)
        for number, path in paths.items()
    ]
    plan = Plan(kind="raw", schema_version=2, parents={}, parameters=parameters, code_version="1", units=["all"])
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("all", rows)
        return writer.publish()


def test_what_a_run_publishes_meanwhile_is_forgotten_too(full: Store) -> None:
    raw = full.head("raw")
    assert raw is not None
    published = []

    def say(line: str) -> None:
        if line.startswith("tokens") and not published:
            published.append(publish_annotated(full, raw, range(5), late=1))

    forget(full, survey(full, "queen/3.wav"), say)
    assert published
    assert still_held(full, 3) == []
    assert files_with_secret(full) == []
    head = full.head("annotated")
    assert head is not None and head.parameters["late"] == 1 and head.num_rows == 4


def test_clips_that_were_made_of_the_source_since_the_survey_are_forgotten_too(full: Store) -> None:
    found = survey(full, "queen/3.wav")
    late = clip_id(77)
    raw = full.head("raw")
    assert raw is not None
    rows = [
        replace(example_rows("annotated", first=3)[0], clip_id=late, first_sample=9, transcript=arc.SECRET.decode())
    ]
    plan = Plan(
        kind="annotated", schema_version=3, parents={"raw": raw.content_id}, parameters={"cut": 1}, code_version="1",
        units=["all"],
    )  # fmt: skip
    with full.writer(plan, owner="test") as writer:
        writer.put_shard("all", rows)
        writer.publish()
    record = forget(full, found)
    assert late in record.clips
    assert files_with_secret(full) == []


def test_two_that_forget_at_once_forget_both(memory_folder: Path) -> None:
    store = arc.make_arc(memory_folder / "store")
    sources = {"queen/3.wav": 3, "bells/0.wav": 0}
    command = [sys.executable, arc.__file__, str(store.root)]
    running = [subprocess.Popen([*command, source], stderr=subprocess.PIPE, text=True) for source in sources]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert [still_held(store, number) for number in sources.values()] == [[], []]
    assert all(record.is_done for record in records(store))
    assert len(records(store)) == 2
    for kind in DATA_KINDS:
        for head in store.refs(kind).values():
            store.verify(head)


def test_no_row_is_lost_where_another_version_was_made_from_what_is_left(store: Store) -> None:
    small = publish_raw(store, {0: "a/0.wav", 1: "a/1.wav", 2: "a/2.wav"}, files=3)
    large = publish_raw(store, {0: "a/0.wav", 1: "a/1.wav", 2: "a/2.wav", 3: "b/3.wav"}, files=4)
    publish_annotated(store, small, range(2))
    publish_annotated(store, large, range(1, 4))
    forget(store, survey(store, "b"))
    held = [{row.clip_id for row in store.rows(one, Annotated)} for one in store.versions("annotated")]
    assert sorted(held, key=sorted) == sorted(
        [{clip_id(0), clip_id(1)}, {clip_id(1), clip_id(2)}], key=sorted
    )  # fmt: skip


def test_a_path_is_taken_to_the_letter_before_it_is_a_pattern(store: Store) -> None:
    publish_raw(store, {0: "queen/take[1].wav", 1: "queen/take1.wav"})
    assert raw_clips(store, "queen/take[1].wav") == {clip_id(0): "queen/take[1].wav"}
    assert set(raw_clips(store, "queen/take?.wav")) == {clip_id(1)}


def test_a_file_that_was_moved_is_found_by_both_of_its_names(store: Store) -> None:
    publish_raw(store, {0: "a/x.wav"}, day=1)
    publish_raw(store, {0: "b/x.wav"}, day=2)
    for source in ("a", "b", "a/x.wav", "b/x.wav", "b/*"):
        assert set(raw_clips(store, source)) == {clip_id(0)}, source


def test_caches_and_what_dead_trainings_keep_go_too(full: Store) -> None:
    for name in ("cache/listing-1.json", "cache/hashes-1.json", "train/0123/state"):
        path = Path(full.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(arc.SECRET)
    forget(full, survey(full, "queen/3.wav"))
    assert files_with_secret(full) == []


def test_what_an_edge_said_of_a_row_that_it_dropped_goes_with_the_source(store: Store) -> None:
    raw = publish_raw(store, {2: "queen/2.wav", 3: "queen/3.wav"})
    plan = Plan(
        kind="annotated", schema_version=3, parents={"raw": raw.content_id}, parameters={}, code_version="1", units=["u"]
    )  # fmt: skip
    from uniaudio_schemas.kinds.dropped import Dropped

    rows = [row for number in (2, 3) for row in example_rows("annotated", first=number)]
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("u", rows, [Dropped(row_id=clip_id(3), reason="too_loud", detail=arc.SECRET.decode())])
        writer.publish()
    forget(store, survey(store, "queen/3.wav"))
    assert files_with_secret(store) == []
    assert [row.clip_id for row in store.rows(store.version_with("raw", _content(store)), Raw)] == [clip_id(2)]


def _content(store: Store) -> str:
    head = store.head("raw")
    assert head is not None
    return head.content_id
