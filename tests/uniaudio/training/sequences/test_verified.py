import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.store import Store, layout
from uniaudio_schemas.store.collect import ABANDONED_S
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.training.lm.doubles import tiny_sequences
from uniaudio.training.sequences import dataset, verified
from uniaudio.training.sequences.dataset import SequenceSet
from uniaudio.training.sequences.shared_index import alone, index_folder, index_key

ROWS = tiny_sequences()
UNITS = {"a": ROWS[::2], "b": ROWS[1::2]}


def published(root: Path | str, parameters: dict | None = None) -> tuple[Store, Manifest]:
    store = Store(root)
    plan = Plan(
        kind="sequences",
        schema_version=1,
        parents={},
        parameters=parameters or {},
        code_version="test",
        units=list(UNITS),
    )
    with store.writer(plan, owner="test") as writer:
        for unit, rows in UNITS.items():
            writer.put_shard(unit, rows)
        return store, writer.publish()


def flip(path: Path) -> None:
    """One bit in the middle of the file, which keeps its size and its time of modification."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=times)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes were read for their checksum."""
    found: list[Path] = []
    hash_file = verified.hash_file
    monkeypatch.setattr(verified, "hash_file", lambda path: found.append(path) or hash_file(path))
    return found


@pytest.mark.parametrize("unit", [0, 1])
@pytest.mark.parametrize("opened_before", [False, True])
def test_a_flipped_bit_is_found_before_a_row_is_used(
    tmp_path: Path, unit: int, opened_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest = published(tmp_path)
    if opened_before:
        SequenceSet.open(store, manifest)
    path = store.shard_path(manifest, manifest.shards[unit])
    flip(path)
    monkeypatch.setattr(dataset.SequenceShard, "open", lambda path: pytest.fail("a shard was read"))
    with pytest.raises(DataError, match=f"{path}: must have sha256 {manifest.shards[unit].sha256}, but has"):
        SequenceSet.open(store, manifest)


def test_a_shard_that_changes_while_the_set_is_open_is_found_before_its_first_row(tmp_path: Path) -> None:
    store, manifest = published(tmp_path)
    SequenceSet.open(store, manifest)
    sequences = SequenceSet.open(store, manifest)
    flip(store.shard_path(manifest, manifest.shards[1]))
    examples = sequences.first(("train", "val"))
    shard = np.asarray(sequences.index.shard)[examples.places]
    assert sequences.documents(examples, np.flatnonzero(shard == 0).tolist())
    with pytest.raises(DataError, match="No row of it is used"):
        sequences.documents(examples, np.flatnonzero(shard == 1).tolist())


def test_a_shard_is_read_for_its_checksum_once_a_host(tmp_path: Path, hashed: list[Path]) -> None:
    store, manifest = published(tmp_path)
    paths = [store.shard_path(manifest, shard) for shard in manifest.shards]
    for _ in range(3):
        sequences = SequenceSet.open(Store(tmp_path), manifest)
        assert len(list(sequences.blocks())) == 2
    assert sorted(hashed) == sorted(paths)
    os.utime(paths[0])
    SequenceSet.open(store, manifest)
    assert hashed[2:] == [paths[0]]
    SequenceSet.open(store, manifest)
    assert len(hashed) == 3


def test_another_version_does_not_read_the_same_shards_again(tmp_path: Path, hashed: list[Path]) -> None:
    store, manifest = published(tmp_path)
    _, again = published(tmp_path, {"other": 1})
    SequenceSet.open(store, manifest), SequenceSet.open(store, again)
    assert len(hashed) == 2
    assert index_key(manifest) == index_key(again)


def test_torn_lines_of_the_record_are_no_harm(tmp_path: Path, hashed: list[Path]) -> None:
    store, manifest = published(tmp_path)
    (index_folder(store) / "verified").write_bytes(b"\xff\xfe torn\n" + manifest.shards[0].sha256.encode())
    SequenceSet.open(store, manifest)
    assert len(hashed) == 2


def test_the_index_is_built_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, manifest = published(tmp_path)
    built = []
    build = dataset.build_index
    monkeypatch.setattr(dataset, "build_index", lambda *given: built.append(1) or build(*given))
    first, second = SequenceSet.open(store, manifest), SequenceSet.open(Store(tmp_path), manifest)
    assert len(built) == 1
    assert np.array_equal(first.index.rank, second.index.rank) and len(first) == len(ROWS)
    path = index_folder(store) / f"{index_key(manifest)}.arrow"
    path.write_bytes(path.read_bytes()[:-9])
    assert len(SequenceSet.open(store, manifest)) == len(ROWS) and len(built) == 2
    assert not list(index_folder(store).glob(".tmp*"))


def test_an_index_whose_making_ended_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, manifest = published(tmp_path)
    monkeypatch.setattr(dataset, "build_index", lambda *given: pytest.fail("no memory"))
    with pytest.raises(pytest.fail.Exception):
        SequenceSet.open(store, manifest)
    assert not [path for path in index_folder(store).iterdir() if path.name.startswith(".tmp")]


def test_only_one_process_builds_while_others_wait(tmp_path: Path) -> None:
    store, manifest = published(tmp_path)
    found: list[SequenceSet] = []
    thread = threading.Thread(target=lambda: found.append(SequenceSet.open(store, manifest)))
    with alone(index_folder(store), index_key(manifest)):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and not (index_folder(store) / f"{index_key(manifest)}.arrow").exists()
    thread.join(60)
    assert len(found) == 1


def test_an_index_that_nobody_opened_for_long_goes_when_another_is_built(tmp_path: Path) -> None:
    store, manifest = published(tmp_path)
    SequenceSet.open(store, manifest)
    old, young = (index_folder(store) / f"{number * 32}.arrow" for number in "01")
    for path, age_s in ((old, ABANDONED_S + 1_000), (young, ABANDONED_S - 1_000)):
        path.write_bytes(b"")
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    mine = index_folder(store) / f"{index_key(manifest)}.arrow"
    os.utime(mine, (0, 0))
    SequenceSet.open(store, manifest)
    assert mine.stat().st_mtime > 0 and old.exists()
    mine.unlink()
    SequenceSet.open(store, manifest)
    assert not old.exists() and young.exists() and mine.exists()


def test_a_store_that_cannot_be_written_has_its_index_in_the_user_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest = published(tmp_path / "store")
    (tmp_path / "store/cache").write_bytes(b"no folder can be made here")
    monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "user"))
    assert len(SequenceSet.open(store, manifest)) == len(ROWS)
    folder = tmp_path / "user/sequences"
    assert (folder / f"{index_key(manifest)}.arrow").is_file() and folder.stat().st_mode & 0o777 == 0o700


def test_shards_of_an_object_store_are_verified_when_they_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[Path]
) -> None:
    monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "user"))
    store, manifest = published(f"memory://{tmp_path.name}/store")
    sequences = SequenceSet.open(store, manifest)
    assert sorted(path.name for path in (tmp_path / "user/store").iterdir() if path.is_file()) == sorted(
        shard.sha256 for shard in manifest.shards
    )
    assert len(list(sequences.blocks())) == 2 and not hashed
    assert (tmp_path / f"user/sequences/{index_key(manifest)}.arrow").is_file()
    shutil.rmtree(tmp_path / "user")
    store.files.write(layout.shard_path("sequences", manifest.shards[1].sha256), b"torn")
    with pytest.raises(StoreError, match=manifest.shards[1].sha256):
        SequenceSet.open(Store(store.root), manifest)


def test_the_index_depends_on_the_shards_that_it_points_into(tmp_path: Path) -> None:
    _, manifest = published(tmp_path / "one")
    _, other = published(tmp_path / "two")
    shuffled = Manifest(**{**vars(other), "shards": other.shards[::-1]})
    assert manifest.content_id == other.content_id and index_key(manifest) == index_key(other) != index_key(shuffled)
