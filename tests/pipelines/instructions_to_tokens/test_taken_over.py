"""Which codes are taken over from the store, and which are not: counted in clips that the codec encodes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.instructions_to_tokens.job import CODE_VERSION, InstructionsToTokens
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from tests.pipelines.instructions_to_tokens.token_corpus import (
    RATE,
    a_corpus,
    cuts_of,
    put_codec,
    put_instructions,
    tokenize,
)
from uniaudio.codec.doubles import BatchingCodec

JOB = InstructionsToTokens(clips_per_unit=4)
STAMPED = {
    "codec_fingerprint": "codec-a",
    "numerics": numerics("cpu"),
    "code_version": f"{JOB.EDGE}-{CODE_VERSION}",
}


def put_again(store: Store, rows: list[Tokens], unit: str, metadata: dict[str, str]) -> None:
    """Rows of another job, with these words on their shard."""
    plan = Plan(kind="tokens", schema_version=1, parents={}, parameters={"unit": unit}, code_version="t", units=[unit])
    with store.writer(plan, owner="test", ref="other") as writer:
        writer.put_shard(unit, rows, metadata=metadata)
        writer.publish()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A store of twelve clips, and a version of tokens that was made from nothing in a copy of it."""
    root = tmp_path_factory.mktemp("made")
    a_corpus(root / "store", [RATE // 2] * 12)
    shutil.copytree(root / "store", root / "copy")
    fresh, _ = tokenize(Store(root / "copy"), JOB, BatchingCodec())
    return root, fresh


def only_with(
    made: tuple[Path, Manifest], folder: Path, *said: dict[str, str], unit: str = "all"
) -> tuple[Manifest, dict[str, float]]:
    """Tokens of a store that has codes of every clip, in shards that say this; and what they cost."""
    root, fresh = made
    rows = list(Store(root / "copy").rows(fresh, Tokens))
    store = Store(shutil.copytree(root / "store", folder / "store"))
    for number, metadata in enumerate(said):
        put_again(store, rows, f"{unit}{number or ''}", metadata)
    return tokenize(store, JOB, BatchingCodec())


def test_codes_of_this_codec_these_numerics_and_this_code_are_taken_over_byte_for_byte(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    found, work = only_with(made, tmp_path, STAMPED)
    assert (work["taken_over_clips"], work.get("encoded_clips", 0)) == (12, 0)
    assert [shard.sha256 for shard in found.shards] == [shard.sha256 for shard in made[1].shards]


def test_codes_of_another_codec_or_numerics_or_code_or_that_do_not_say_all_of_it_are_not_taken_over(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    others = [{**STAMPED, name: "another"} for name in sorted(STAMPED)]
    silent = [{key: value for key, value in STAMPED.items() if key != name} for name in sorted(STAMPED)]
    _, work = only_with(made, tmp_path, *others, *silent)
    assert (work["taken_over_clips"], work["encoded_clips"]) == (0, 12)


def test_a_shard_of_another_range_is_not_read(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    """Rows that are where their unit's name says they are not, which no edge writes: so it shows what is read."""
    _, work = only_with(made, tmp_path, STAMPED, unit="clips-0-of-4")
    assert 0 < work["taken_over_clips"] < 12


@pytest.mark.slow
def test_units_of_another_size_take_over_what_they_share(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE // 2] * 30)
    first, _ = tokenize(store, JOB, BatchingCodec())
    for clips_per_unit in (1, 16, 1_000):
        again, work = tokenize(store, replace(JOB, clips_per_unit=clips_per_unit), BatchingCodec())
        assert again.content_id == first.content_id and len(again.shards) != len(first.shards)
        assert (work["taken_over_clips"], work.get("encoded_clips", 0)) == (30, 0)


def test_one_changed_clip_of_a_hundred_is_one_encode(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE // 4] * 100)
    tokenize(store, JOB, BatchingCodec())
    raw = store.head("raw")
    assert raw is not None
    cuts = cuts_of(list(store.rows(raw, Raw)), 1)
    changed = replace(cuts[17], clip_id="another", num_samples=RATE // 5)
    put_instructions(store, [*cuts[:17], changed, *cuts[18:]])
    manifest, work = tokenize(store, JOB, BatchingCodec())
    assert manifest.num_rows == 100
    assert (work["taken_over_clips"], work["encoded_clips"], work["given_samples"]) == (99, 1, RATE // 5)


def test_a_new_codec_encodes_all_and_leaves_the_old_version_readable(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE // 2] * 10)
    old, _ = tokenize(store, JOB, BatchingCodec())
    put_codec(store, "codec-b")
    new, work = tokenize(store, JOB, BatchingCodec())
    assert work["encoded_clips"] == 10 and old.plan_id != new.plan_id
    for manifest, name in ((old, "codec-a"), (new, "codec-b")):
        assert store.version("tokens", manifest.plan_id) == manifest and len(store.read(manifest)) == 10
        said = {store.shard_metadata(manifest, shard)["codec_fingerprint"] for shard in manifest.shards}
        assert said == {name}


@pytest.mark.parametrize("fields", [{"dtype": "bfloat16"}, {"compiled": True}])
def test_another_arithmetic_is_another_version_and_takes_nothing_over(tmp_path: Path, fields: dict[str, Any]) -> None:
    store = a_corpus(tmp_path, [RATE // 2] * 4)
    first, _ = tokenize(store, JOB, BatchingCodec())
    other, work = tokenize(store, replace(JOB, **fields), BatchingCodec())
    assert other.plan_id != first.plan_id and other.numerics != first.numerics
    assert work["encoded_clips"] == 4
    assert store.shard_metadata(other, other.shards[0])["numerics"] == other.numerics
