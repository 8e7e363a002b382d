"""A version's file is parsed once, whatever asks for it, and a file that changed or went is noticed."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.store import Store, versions
from uniaudio_schemas.store.forgotten import version_with
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.testing import a_plan


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    for name, value in (("_manifests", OrderedDict()), ("_ids", {}), ("_num_shards", 0)):
        monkeypatch.setattr(versions, name, value)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were parsed as manifests."""
    found: list[str] = []
    real = Manifest.from_json.__func__  # type: ignore[attr-defined]

    def counted(text: bytes, where: str = "manifest") -> Manifest:
        found.append(where)
        manifest: Manifest = real(Manifest, text, where)
        return manifest

    monkeypatch.setattr(Manifest, "from_json", counted)
    return found


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_each_version_is_parsed_once(where: str, store: Store, memory: Store, publish: Any, parsed: list[str]) -> None:
    store = store if where == "disk" else memory
    made = [publish(a_plan(turn=turn), into=store) for turn in range(3)]
    found = store.versions("raw")
    assert sorted(found, key=lambda one: one.plan_id) == sorted(made, key=lambda one: one.plan_id)
    parsed.clear()
    assert store.versions("raw") == found and store.head("raw") == made[-1]
    assert store.version_with("raw", made[0].content_id) == found[0] and not parsed
    assert Store(str(store.root)).versions("raw") == found and not parsed


def test_looking_for_contents_builds_only_the_version_that_has_them(
    store: Store, publish: Any, parsed: list[str]
) -> None:
    made = [publish(a_plan(turn=turn, units=tuple(f"u{index}" for index in range(turn + 1)))) for turn in range(3)]
    versions._manifests.clear(), versions._ids.clear()
    parsed.clear()
    assert version_with(store, "raw", made[1].content_id) == made[1] and len(parsed) == 1
    assert version_with(store, "raw", "0" * 32) is None and len(parsed) == 1
    with pytest.raises(StoreError, match="has no version of `raw` with the content"):
        store.version_with("raw", "0" * 32)


def test_a_version_that_is_gone_or_another_is_noticed(store: Store, publish: Any) -> None:
    manifest = publish()
    path = Path(store.root) / f"raw/versions/{manifest.plan_id}.json"
    assert store.version("raw", manifest.plan_id) == manifest
    path.write_text(path.read_text().replace("}", "} ", 1))
    assert store.version("raw", manifest.plan_id) == manifest
    path.write_text("{}")
    for look in (lambda: store.versions("raw"), lambda: store.version_with("raw", manifest.content_id)):
        with pytest.raises(DataError, match=str(path)):
            look()
    path.unlink()
    assert store.version("raw", manifest.plan_id) is None and store.versions("raw") == []


def test_what_is_kept_is_bounded(store: Store, publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "MAX_SHARDS", 3)
    for turn in range(4):
        publish(a_plan(turn=turn, units=("a", "b")))
    assert len(store.versions("raw")) == 4
    assert sum(len(one.shards) for one in versions._manifests.values()) == versions._num_shards == 2
