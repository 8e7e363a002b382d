"""Codes found by the hash of a clip's id, in whichever shard and record batch they lie."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.tokens_to_sequences import codes
from uniaudio_pipelines.tokens_to_sequences.codes import CodesOfClips
from uniaudio_schemas.errors import FingerprintError
from uniaudio_schemas.kinds import record
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

NAMES = [f"clip-{number}" for number in range(60)]


def row(name: str) -> Tokens:
    draw = np.random.default_rng(sum(name.encode()))
    num_frames = int(draw.integers(1, 9))
    return Tokens(
        clip_id=name,
        num_samples=4_800 * num_frames,
        reasoning_codes=draw.integers(0, 64, (num_frames, 8)).astype(np.int16),
        reconstruction_codes=draw.integers(0, 128, (5 * num_frames // 2, 8)).astype(np.int16),
    )


def put(store: Store, shards: Sequence[Sequence[str]], numerics: Sequence[str] = ()) -> Manifest:
    units = [f"unit-{number}" for number in range(len(shards))]
    plan = Plan(kind="tokens", schema_version=1, parents={}, parameters={}, code_version="t", units=units)
    with store.writer(plan, owner="test") as writer:
        for number, (unit, names) in enumerate(zip(units, shards, strict=True)):
            metadata = {"codec_fingerprint": "codec-a", **({"numerics": numerics[number]} if numerics else {})}
            writer.put_shard(unit, [row(name) for name in names], metadata=metadata)
        return writer.publish()


def test_each_clip_has_its_own_codes_and_others_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio_schemas.store.shards.BATCH_ROWS", 7)
    monkeypatch.setattr(record, "BATCH_ROWS", 7)
    store = Store(tmp_path)
    manifest = put(store, [NAMES[part::3] for part in range(3)] + [[]], ["cpu"] * 4)
    found = CodesOfClips(store, manifest, "codec-a", tmp_path / "cache/plan")
    assert found.of(NAMES) == {name: row(name) for name in NAMES}
    assert found.of(["clip-7", "lost"]) == {"clip-7": row("clip-7")}
    assert found.of([]) == {}
    assert found.numerics == "cpu"


def test_clips_whose_ids_have_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "hashes_of", lambda names: np.array([len(name) for name in names], np.uint64))
    store = Store(tmp_path)
    found = CodesOfClips(store, put(store, [NAMES[:30], NAMES[30:]]), "codec-a", tmp_path / "cache/plan")
    assert found.of(["clip-3", "clip-44", "lost-44"]) == {name: row(name) for name in ("clip-3", "clip-44")}
    assert found.numerics == ""


def test_of_the_workers_of_a_machine_one_makes_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    manifest = put(store, [NAMES])
    CodesOfClips(store, manifest, "codec-a", tmp_path / "cache/plan")
    monkeypatch.setattr(CodesOfClips, "_make", lambda self, folder: pytest.fail("it is there"))
    assert len(CodesOfClips(store, manifest, "codec-a", tmp_path / "cache/plan").of(NAMES)) == 60


def test_codes_of_another_codec_or_of_two_numerics_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = put(store, [NAMES[:3], NAMES[3:]], ["cpu", "cuda"])
    with pytest.raises(FingerprintError, match="must be of codec codec-b, but is of codec-a"):
        CodesOfClips(store, manifest, "codec-b", tmp_path / "cache/plan")
    with pytest.raises(FingerprintError, match="must share one numerics, but have cpu, cuda"):
        CodesOfClips(store, manifest, "codec-a", tmp_path / "cache/plan")


def test_codes_are_views_of_the_shard(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = CodesOfClips(store, put(store, [NAMES]), "codec-a", tmp_path / "cache/plan").of(NAMES[:1])["clip-0"]
    assert not found.reasoning_codes.flags.writeable and not found.reconstruction_codes.flags.owndata
