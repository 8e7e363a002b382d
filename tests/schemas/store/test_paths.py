"""Nothing is written outside the root, whatever the names and whatever links lie there."""

from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.testing import a_plan

BAD_NAMES = ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "a\0b", "a\nb", "a\\b", " a", "x" * 181, "\udcff"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_a_name_that_is_a_path_is_refused_before_anything_is_written(name: str, store: Store, publish: Any) -> None:
    manifest = publish()
    before = sorted(store.root.parent.rglob("*"))
    for attempt in (
        lambda: a_plan(units=(name,)),
        lambda: store.writer(a_plan(), owner="test", ref=name),
        lambda: store.point("raw", name, manifest),
        lambda: store.head("raw", name),
        lambda: store.version(name, manifest.plan_id),
        lambda: store.version("raw", name),
        lambda: store.open_blob(name),
    ):
        with pytest.raises(UsageError, match="must be"):
            attempt()
    assert sorted(store.root.parent.rglob("*")) == before


@pytest.mark.parametrize("unit", ["Ölfässer-00000", "my corpus-00001", "音楽-00002", "a.b-3"])
def test_names_in_any_script_are_fine(unit: str, store: Store, publish: Any) -> None:
    assert [shard.unit for shard in publish(a_plan(units=(unit,))).shards] == [unit]


@pytest.mark.parametrize("folder", ["raw", "raw/shards", "raw/staging", "raw/versions", "raw/refs", "raw/leases"])
def test_a_link_out_of_the_store_is_not_followed(folder: str, store: Store, publish: Any, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (store.root / folder).parent.mkdir(parents=True, exist_ok=True)
    (store.root / folder).symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="leaves the store"):
        publish()
    assert not list((tmp_path / "outside").iterdir())


def test_a_link_in_place_of_a_file_is_replaced_and_never_written_through(
    store: Store, publish: Any, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_text("mine")
    (store.root / "raw/refs").mkdir(parents=True)
    (store.root / "raw/refs/latest.json").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError, match="raw/refs: "):
        store.head("raw")
    publish()
    assert (tmp_path / "victim").read_text() == "mine" and store.head("raw") is not None


def test_a_root_behind_a_link_works(tmp_path: Path, publish: Any) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    publish(into=Store(tmp_path / "link"))
    assert Store(tmp_path / "real").head("raw") is not None
