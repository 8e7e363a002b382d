import errno
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from uniaudio_schemas.errors import DataError, StoreError, UsageError
from uniaudio_schemas.fingerprint import hash_bytes, hash_file
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import EXAMPLE_KINDS, a_plan, example_rows


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLE_KINDS if kind != "dropped"])
def test_a_version_reads_back_as_it_was_written(kind: str, store: Store, publish: Any) -> None:
    manifest = publish(a_plan(kind, units=("a", "b")))
    expected = example_rows(kind, 6)
    assert store.head(kind) == manifest == store.version(kind, manifest.plan_id)
    assert sorted(map(repr, store.rows(manifest, type(expected[0])))) == sorted(map(repr, expected))
    assert manifest.num_rows == store.read(manifest).num_rows == 6
    store.verify(manifest)


def test_rows_come_in_id_order_across_shards(store: Store, publish: Any) -> None:
    ids = [row.clip_id for row in store.rows(publish(), Raw)]
    assert ids == sorted(ids) and len(ids) == 6


def test_reading_a_local_version_copies_nothing(store: Store, publish: Any) -> None:
    manifest = publish(a_plan("tokens"))
    before = pa.total_allocated_bytes()
    table = store.read(manifest, columns=["clip_id", "reasoning_codes"])
    assert table.column_names == ["clip_id", "reasoning_codes"]
    assert pa.total_allocated_bytes() == before


def test_a_unit_filter_reads_only_those_shards(store: Store, publish: Any) -> None:
    manifest = publish()
    assert store.read(manifest, filter_unit="queen-00001").num_rows == 3
    assert store.read(manifest, filter_unit=lambda unit: unit.startswith("queen")).num_rows == 6
    assert store.read(manifest, filter_unit="none").schema.names == store.read(manifest).schema.names


def test_two_stores_with_the_same_rows_hold_the_same_bytes(tmp_path: Path, publish: Any) -> None:
    texts = []
    for name, order in (("one", 1), ("two", -1)):
        store = Store(tmp_path / name)
        plan = a_plan(units=("a", "b"))
        with store.writer(plan, owner=name) as writer:
            for unit in plan.units[::order]:
                rows = example_rows("raw", 3, first=3 * plan.units.index(unit))[::order]
                dropped = [Dropped(row_id=str(i), reason="too_short") for i in (1, 2)][::order]
                writer.put_shard(unit, rows, dropped, dict([("b", "1"), ("a", "2")][::order]), {"y": 1, "x": 2.0})
            manifest = writer.publish()
        files = sorted(path for path in store.root.rglob("*") if path.is_file() and "leases" not in path.parts)
        texts.append([(str(path.relative_to(store.root)), hash_file(path)) for path in files])
        assert manifest.dropped == {"too_short": 4} and manifest.statistics == {"x": 4.0, "y": 2.0}
    assert texts[0] == texts[1]


def test_rows_and_a_table_of_them_make_the_same_shard(store: Store) -> None:
    rows = example_rows("tokens", 5)
    table = to_table(rows, Tokens)
    shuffled = pa.concat_tables([table.slice(3), table.slice(0, 3)])
    rebatched = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    plan = a_plan("tokens", units=("a", "b", "c", "d"))
    with store.writer(plan, owner="test") as writer:
        found = {
            writer.put_shard(unit, one).sha256
            for unit, one in zip("abcd", (rows, table, shuffled, rebatched), strict=True)
        }
        with pytest.raises(DataError, match="is in two shards"):
            writer.publish()
    assert len(found) == 1


def test_a_table_that_does_not_fit_the_schema_is_refused(store: Store) -> None:
    table = to_table(example_rows("tokens"), Tokens)
    nulls = table.set_column(1, "num_samples", pa.nulls(1, pa.int64()))
    with store.writer(a_plan("tokens"), owner="test") as writer:
        with pytest.raises(DataError, match=r"lacks \['num_samples'\], has too much \['x'\]"):
            writer.put_shard("queen-00000", table.rename_columns(["clip_id", "x", *table.column_names[2:]]))
        with pytest.raises(DataError, match="num_samples"):
            writer.put_shard("queen-00000", nulls)
        with pytest.raises(DataError, match="must be unique"):
            writer.put_shard("queen-00000", pa.concat_tables([table, table]))
        assert writer.done() == set()


def test_dropped_rows_are_counted_and_can_be_read(store: Store) -> None:
    with store.writer(a_plan(), owner="test") as writer:
        reports = [Dropped(row_id="x", reason="too_short", detail="0.04 s"), Dropped(row_id="x", reason="clipped")]
        writer.put_shard("queen-00000", example_rows("raw"), reports)
        manifest = writer.publish()
    assert manifest.dropped == {"clipped": 1, "too_short": 1}
    found = store.dropped(manifest).to_pylist()
    assert found[0] == {"row_id": "x", "reason": "clipped", "detail": "", "unit": "queen-00000"}
    assert store.dropped(manifest).num_rows == 2


def test_a_dropped_shard_that_changed_or_is_gone_does_not_pass_verification(store: Store) -> None:
    with store.writer(a_plan(), owner="test") as writer:
        writer.put_shard("queen-00000", example_rows("raw"), [Dropped(row_id="x", reason="too_short")])
        manifest = writer.publish()
    store.verify(manifest)
    path = store.dropped_path(manifest.shards[0])
    damage(path, "flip")
    with pytest.raises(DataError, match=f"{path}: must have sha256"):
        store.verify(manifest)
    path.unlink()
    with pytest.raises(StoreError, match=f"dropped/shards/{path.name}"):
        store.verify(manifest)


def test_a_reason_that_is_no_word_is_refused(store: Store) -> None:
    with store.writer(a_plan(), owner="test") as writer, pytest.raises(UsageError, match="but is 'Too short!'"):
        writer.put_shard("queen-00000", [], [Dropped(row_id="x", reason="Too short!")])


def test_publishing_with_a_missing_unit_names_it(store: Store) -> None:
    with store.writer(a_plan(units=("a", "b")), owner="test") as writer:
        writer.put_shard("a", example_rows("raw"))
        with pytest.raises(StoreError, match="1 of 2 units are not finished, such as 'b'"):
            writer.publish()
    assert store.head("raw") is None


def test_an_empty_version_can_be_published_and_read(store: Store, publish: Any) -> None:
    manifest = publish(a_plan(units=()))
    assert manifest.num_rows == store.read(manifest).num_rows == 0
    with store.writer(a_plan(units=("a",), other=1), owner="test") as writer:
        writer.put_shard("a", [])
        manifest = writer.publish()
    assert list(store.rows(manifest, Raw)) == []


def test_finished_units_are_not_done_again_and_a_published_plan_has_all(store: Store) -> None:
    plan = a_plan(units=("a", "b"))
    with pytest.raises(KeyboardInterrupt), store.writer(plan, owner="first") as writer:
        writer.put_shard("a", example_rows("raw"))
        raise KeyboardInterrupt
    with store.writer(plan, owner="second") as writer:
        assert writer.done() == {"a"}
        writer.put_shard("b", example_rows("raw", first=1))
        manifest = writer.publish()
    with store.writer(plan, owner="third", ref="again") as writer:
        assert writer.done() == {"a", "b"}
        assert writer.publish() == manifest
    assert set(store.refs("raw")) == {"again", "latest"}
    assert not list((store.root / "raw/staging").iterdir())


def test_a_unit_with_the_rows_of_an_older_version_is_the_same_file_and_not_written_again(
    store: Store, publish: Any
) -> None:
    old = publish()
    before = {path: path.stat().st_ino for path in (store.root / "raw/shards").iterdir()}
    new = publish(a_plan(units=("queen-00000", "queen-00001", "queen-00002"), grown=True))
    after = {path: path.stat().st_ino for path in (store.root / "raw/shards").iterdir()}
    assert before.items() <= after.items() and len(after) == len(before) + 1
    assert {shard.sha256 for shard in old.shards} < {shard.sha256 for shard in new.shards}


def test_reused_shards_are_named_again_and_not_written(store: Store, publish: Any) -> None:
    old = publish()
    plan = replace(a_plan(units=("delta",), grown=True), reused=old.shards)
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("delta", example_rows("raw", first=6))
        new = writer.publish()
    whole = publish(a_plan(units=("a", "b", "c"), layout="other"), ref="other")
    assert new.num_rows == 7
    assert {shard.sha256 for shard in old.shards} < {shard.sha256 for shard in new.shards}
    assert new.content_id != whole.content_id
    with store.writer(a_plan(units=("all",), layout="one"), owner="test") as writer:
        writer.put_shard("all", example_rows("raw", 7))
        assert writer.publish().content_id == new.content_id


def test_refs_move_only_to_published_versions(store: Store, publish: Any) -> None:
    first, second = publish(), publish(a_plan(other=1))
    assert store.head("raw") == second
    store.point("raw", "latest", first)
    assert store.head("raw") == first
    assert store.versions("raw") == sorted([first, second], key=lambda manifest: manifest.plan_id)
    with pytest.raises(StoreError, match="is not published here"):
        store.point("raw", "latest", replace(first, plan_id="0" * 32))


def test_a_blob_is_stored_once_under_its_hash(store: Store, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"weights")
    with store.writer(a_plan(), owner="test") as writer:
        assert writer.put_blob(b"weights") == writer.put_blob(tmp_path / "weights") == hash_bytes(b"weights")
        with pytest.raises(StoreError, match="names it, but it is not there; put it first"):
            writer.put_shard("queen-00000", [], blobs=["0" * 64])
    path = store.open_blob(hash_bytes(b"weights"))
    assert path.read_bytes() == b"weights" and path.parts[-3:-1] == ("blobs", hash_bytes(b"weights")[:2])


def test_every_file_is_synced_before_it_gets_its_name_and_its_folder_after(
    store: Store, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the calls; a power cut cannot be had in a test."""
    calls: list[tuple[str, str]] = []
    fsync, rename, link = os.fsync, Path.rename, os.link

    def traced_fsync(descriptor: int) -> None:
        calls.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def traced_rename(self: Path, target: Path) -> Path:
        calls.append(("rename", f"{self} {target}"))
        return rename(self, target)

    def traced_link(path: Path, target: Path, **options: bool) -> None:
        calls.append(("rename", f"{path} {target}"))
        link(path, target, **options)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "link", traced_link)
    monkeypatch.setattr(Path, "rename", traced_rename)
    manifest = publish(a_plan(units=("a",)))
    renames = [index for index, (call, _) in enumerate(calls) if call == "rename"]
    for index in renames:
        temporary, target = calls[index][1].split()
        assert calls[index - 1] == ("sync", temporary)
        assert calls[index + 1] == ("sync", str(Path(target).parent))
    names = [Path(calls[index][1].split()[1]).parent.name for index in renames]
    assert names == ["leases", "shards", manifest.plan_id, "hashes", "versions", "refs", "leases"]


def test_a_disk_without_links_holds_versions_too(store: Store, publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    manifest = publish()
    store.verify(manifest)
    assert publish() == manifest and store.files.swap("x/y", b"1", None)
    assert not store.files.swap("x/y", b"2", None) and store.files.read("x/y") == b"1"


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[-10:]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_cut_shard_is_named_when_it_is_read(store: Store, publish: Any) -> None:
    manifest = publish()
    path = store.shard_path(manifest, manifest.shards[0])
    damage(path, "cut")
    with pytest.raises(StoreError, match=f"{path}: must have .* bytes"):
        store.read(manifest)


def test_a_flipped_bit_is_named_by_verify(store: Store, publish: Any) -> None:
    manifest = publish()
    path = store.shard_path(manifest, manifest.shards[0])
    damage(path, "flip")
    with pytest.raises(DataError, match=f"{path}: must have sha256"):
        store.verify(manifest)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "kind": "raw"}'])
def test_a_broken_manifest_is_named(text: str, store: Store, publish: Any) -> None:
    path = store.root / f"raw/versions/{publish().plan_id}.json"
    path.write_text(text)
    with pytest.raises(DataError, match=str(path)):
        store.head("raw")


def test_a_field_of_a_newer_manifest_is_refused_and_not_lost(publish: Any) -> None:
    text = publish().to_json()
    for newer in (
        text.replace('"blobs":', '"colour":1,"blobs":', 1),
        text.replace('"format":', '"colour":1,"format":'),
    ):
        with pytest.raises(DataError, match="has colour, which only a newer version may know"):
            Manifest.from_json(newer)


def test_a_manifest_says_nothing_of_who_made_it_and_when(store: Store, publish: Any) -> None:
    manifest = publish()
    path = store.root / f"raw/versions/{manifest.plan_id}.json"
    assert path.read_text() == manifest.to_json() and Manifest.from_json(path.read_text()) == manifest
    assert set(json.loads(manifest.to_json())["totals"]) == {"num_rows", "dropped"}
    assert "test" not in manifest.to_json() and str(os.getpid()) not in json.loads(manifest.to_json())


def test_the_plan_id_covers_all_but_the_units() -> None:
    plan = a_plan(speed=1)
    assert replace(plan, units=["other"]).plan_id == plan.plan_id == pickle.loads(pickle.dumps(plan)).plan_id  # noqa: S301
    changes: list[dict[str, Any]] = [
        {"kind": "tokens"},
        {"schema_version": 3},
        {"parents": {"raw": "x"}},
        {"parameters": {"speed": 2}},
        {"code_version": "2"},
        {"numerics": "gpu"},
    ]
    assert len({replace(plan, **change).plan_id for change in changes} | {plan.plan_id}) == 7


def test_a_plan_with_a_unit_twice_or_a_parameter_that_is_no_json_is_refused() -> None:
    with pytest.raises(UsageError, match="'a' is there twice"):
        a_plan(units=("a", "a"))
    with pytest.raises(UsageError, match="finite numbers"):
        a_plan(threshold=float("nan"))


def test_a_version_from_a_newer_program_is_refused_with_advice(store: Store) -> None:
    plan = Plan(kind="raw", schema_version=9, parents={}, parameters={}, code_version="1", units=["a"])
    with pytest.raises(DataError, match=r"raw v9 is not known here; the newest is v2. Update uniaudio"):
        store.writer(plan, owner="test")


def test_metadata_of_the_writer_are_kept_and_the_stores_own_are_protected(store: Store) -> None:
    with store.writer(a_plan("tokens"), owner="test") as writer:
        with pytest.raises(UsageError, match="must leave 'kind' to the store"):
            writer.put_shard("queen-00000", [], metadata={"kind": "raw"})
        writer.put_shard("queen-00000", example_rows("tokens"), metadata={"codec_fingerprint": "c81f"})
        manifest = writer.publish()
    expected = {"codec_fingerprint": "c81f", "kind": "tokens", "schema_version": "1"}
    assert store.shard_metadata(manifest, manifest.shards[0]) == expected
    assert store.read(manifest).schema.metadata[b"codec_fingerprint"] == b"c81f"


def test_a_version_is_found_by_its_contents_wherever_its_ref_points(store: Store, publish: Any) -> None:
    first, _ = publish(), publish(a_plan(other=1))
    assert store.version_with("raw", first.content_id) == first != store.head("raw")
    with pytest.raises(StoreError, match=f"no version of `tokens` with the content {first.content_id}"):
        store.version_with("tokens", first.content_id)


def test_an_address_that_became_a_path_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="made one slash of two"):
        Store(Path("s3://bucket/store"))
    assert not list(tmp_path.iterdir())
