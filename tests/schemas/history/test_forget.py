import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.history.find import find
from uniaudio_schemas.history.forget import forget, survey, unfinished
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.history.traces import DATA_KINDS
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import forgotten_clips, version_with
from uniaudio_schemas.store.manifest import Plan
from uniaudio_schemas.testing import clip_id, example_rows

from tests.schemas import arc
from tests.schemas.killing import killed_at

ROWS_LEFT = {
    "raw": 4,
    "evalset": 4,
    "cuts": 4,
    "annotated": 4,
    "instructions": 4,
    "tokens": 4,
    "sequences": 4,
    "scores": 1,
    "codec_scores": 1,
}
"""Without clip 3: the mixture and the example of it with clip 4 go too, and the score of corpus `queen`."""


@pytest.fixture
def full(memory_folder: Path) -> Store:
    made: Store = arc.make_arc(memory_folder / "store")
    return made


def files(store: Store) -> dict[str, bytes]:
    """All but leases and locks."""
    paths = (path for path in Path(store.root).rglob("*") if path.is_file() and "leases" not in path.parts)
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths if path.name != ".lock"}


def with_secret(store: Store) -> list[str]:
    return [name for name, data in files(store).items() if arc.SECRET in data]


def num_rows(store: Store) -> dict[str, int]:
    return {kind: head.num_rows for kind in DATA_KINDS if (head := store.head(kind)) is not None}


def check_heads(store: Store) -> None:
    """Every ref points to a whole version whose audio lies where its rows say."""
    for kind in (*DATA_KINDS, "codec", "checkpoint"):
        for head in store.refs(kind).values():
            store.verify(head)
    raw = store.head("raw")
    assert raw is not None
    for row in store.rows(raw, Raw):
        number = next(number for number in range(5) if clip_id(number) == row.clip_id)
        data = store.open_blob(row.tar).read_bytes()
        assert data[row.tar_offset : row.tar_offset + row.tar_size] == arc.audio(number)


def test_looking_at_what_would_be_forgotten_writes_nothing(full: Store) -> None:
    before = files(full)
    found = survey(full, "queen/3.wav")
    assert files(full) == before
    assert {holder.manifest.kind: sum(holder.num_rows.values()) for holder in found.holders} == {
        "raw": 1, "evalset": 1, "cuts": 1, "annotated": 1, "instructions": 2, "tokens": 2, "sequences": 2, "scores": 1,
        "codec_scores": 1,
    }  # fmt: skip
    assert [(model.kind, model.refs, model.num_examples) for model in found.models] == [
        ("codec", ["latest"], 0), ("checkpoint", ["latest"], 2)
    ]  # fmt: skip


@pytest.mark.parametrize("source", ["queen/3.wav", "*/3.*", clip_id(3), clip_id(3)[:8]])
def test_nothing_of_a_forgotten_clip_is_left_and_all_else_is(full: Store, source: str) -> None:
    assert len(with_secret(full)) > 4
    forget(full, survey(full, source))
    assert with_secret(full) == []
    assert num_rows(full) == ROWS_LEFT
    check_heads(full)
    assert all(head.dropped["forgotten"] for kind in DATA_KINDS if (head := full.head(kind)) is not None)
    assert forgotten_clips(full) == {clip_id(3)}


def test_a_corpus_is_forgotten_as_a_whole(full: Store) -> None:
    forget(full, survey(full, "queen"))
    assert num_rows(full) == {
        "raw": 2, "evalset": 2, "cuts": 2, "annotated": 2, "instructions": 2, "tokens": 2, "sequences": 2, "scores": 1,
        "codec_scores": 1,
    }  # fmt: skip
    check_heads(full)


def test_only_shards_that_hold_it_are_written_again(full: Store) -> None:
    before = {kind: {shard.unit: shard.sha256 for shard in full.head(kind).shards} for kind in DATA_KINDS}  # type: ignore[union-attr]
    forget(full, survey(full, clip_id(3)))
    for kind in ("raw", "annotated", "instructions", "sequences"):
        head = full.head(kind)
        assert head is not None
        after = {shard.unit: shard.sha256 for shard in head.shards}
        assert {unit for unit in after if after[unit] != before[kind][unit]} == {"queen-00000"}


def test_what_a_shard_says_of_its_rows_is_counted_again(full: Store) -> None:
    forget(full, survey(full, clip_id(3)))
    found = {kind: head.statistics for kind in DATA_KINDS if (head := full.head(kind)) is not None}
    assert found["raw"] == {"audio_s": pytest.approx(4 * 0.8), "source_bytes": 18.0}
    assert found["annotated"] == {"audio_s": pytest.approx(4 * 0.8), "speech_s": pytest.approx(4 * 0.8)}
    assert found["sequences"]["train/asr"] == 4 and found["sequences"]["num_positions"] == 4 * 35
    assert found["instructions"]["audio_s"] == pytest.approx(2 * 0.8)  # of `queen` alone: 0 was counted for `bells`


def test_models_stay_as_they_are_and_say_what_they_saw(full: Store) -> None:
    models = {kind: full.versions(kind) for kind in ("codec", "checkpoint")}
    forget(full, survey(full, clip_id(3)))
    assert {kind: full.versions(kind) for kind in models} == models
    back = way_back(full, find(full, "checkpoint"))
    assert back["forgotten_files"] == 1 and back["missing"] == []
    assert [version["rows"] for version in back["versions"] if version["kind"] == "sequences"] == [4]
    assert sum(source["files"] for source in back["sources"]) == 4


def test_what_is_left_of_a_models_ancestors_is_no_garbage(full: Store) -> None:
    forget(full, survey(full, clip_id(3)))
    left = full.head("sequences")
    for kind in ("sequences", "scores"):
        arc.publish(full, kind, {}, {"other": {"rows": example_rows(kind)}})
    full.collect(dry_run=False)
    assert left is not None and full.version("sequences", left.plan_id) == left


def test_what_was_rewritten_twice_is_found_by_its_first_name(full: Store) -> None:
    first = full.head("sequences")
    assert first is not None
    for number in (3, 0):
        forget(full, survey(full, clip_id(number)))
    found = version_with(full, "sequences", first.content_id)
    assert found == full.head("sequences") and found is not None and found.num_rows == 3
    assert find(full, first.content_id[:10]).manifest == found


def test_versions_that_no_ref_points_to_forget_too(full: Store) -> None:
    store = arc.make_arc(full.root, again=1)
    assert Counter(holder.manifest.kind for holder in survey(store, clip_id(3)).holders)["raw"] == 2
    forget(store, survey(store, clip_id(3)))
    assert with_secret(store) == []
    assert [manifest.num_rows for manifest in store.versions("raw")] == [4, 4]


def test_staged_units_and_torn_files_of_dead_runs_go_too(full: Store) -> None:
    plan = Plan(kind="raw", schema_version=2, parents={}, parameters={"x": 1}, code_version="1", units=["a", "b"])
    (row,) = example_rows("raw", first=3)
    with full.writer(plan, owner="killed") as writer:
        writer.put_shard("a", [row], blobs=[writer.put_blob(arc.SECRET)])
    torn = Path(full.root) / f"raw/staging/{plan.plan_id}/.tmp-1-x"
    torn.write_bytes(arc.SECRET)
    forget(full, survey(full, clip_id(3)))
    assert with_secret(full) == []


def test_while_a_run_is_alive_nothing_is_forgotten(full: Store) -> None:
    before, plan = (
        num_rows(full),
        Plan(kind="tokens", schema_version=1, parents={}, parameters={}, code_version="1", units=["a"]),
    )
    with full.writer(plan, owner="test"), pytest.raises(StoreError, match="is being made now"):
        forget(full, survey(full, clip_id(3)))
    assert num_rows(full) == before and forgotten_clips(full) == frozenset()


@pytest.mark.parametrize("source", ["nothing", "queen/7.wav", "0" * 32])
def test_a_source_that_names_no_clip_is_refused(full: Store, source: str) -> None:
    with pytest.raises(UsageError, match="must be a corpus, a path"):
        survey(full, source)


def kill_at_every(stride: int, folder: Path) -> int:
    """Number of runs that were killed."""
    before = num_rows(arc.make_arc(folder / "before"))
    shutil.copytree(folder / "before", folder / "whole")
    arc.run_forget(folder / "whole", "queen/3.wav")
    expected = files(Store(folder / "whole"))
    step = 0
    while True:
        root = folder / str(step)
        shutil.copytree(folder / "before", root)
        if not killed_at(step, partial(arc.run_forget, root, "queen/3.wav")):
            return step // stride
        store = Store(root)
        check_heads(store)
        assert all(count in (before[kind], ROWS_LEFT[kind]) for kind, count in num_rows(store).items())
        # A run that wrote its record is ended by the next, whatever it is to forget; one that did not is begun again.
        if with_secret(store) or unfinished(store):
            arc.run_forget(root, "queen/3.wav")
        assert files(store) == expected
        shutil.rmtree(root)
        step += stride


@pytest.mark.slow
def test_a_kill_at_every_sixtieth_change_of_the_disk_loses_nothing_and_leaves_nothing(memory_folder: Path) -> None:
    assert kill_at_every(60, memory_folder) > 4


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_kill_at_any_change_of_the_disk_loses_nothing_and_leaves_nothing(memory_folder: Path) -> None:
    assert kill_at_every(1, memory_folder) > 250
