"""What a corpus shares with evaluation sets, on rows that are put into a store as the edges would."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from uniaudio_pipelines.contamination import Contamination, content_ids, named, registered
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.evalset import EvalsetItem
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.audio.landmarks import landmarks

RATE = 8_000
LINE = "he hoped there would be stew for dinner turnips and carrots and bruised potatoes"


def noise(seed: int, seconds: float) -> np.ndarray:
    """`[N]` bursts of tones, which stand out at many places."""
    random = np.random.default_rng(seed)
    pieces = []
    while sum(map(len, pieces)) < seconds * RATE:
        time = np.arange(random.integers(400, 1200)) / RATE
        tones = [np.sin(2 * np.pi * random.uniform(150, 3_000) * time) for _ in range(3)]
        pieces.append(np.sum(tones, axis=0) * random.uniform(0.02, 0.2) * np.hanning(len(time)))
    samples: np.ndarray = np.concatenate(pieces)[: int(seconds * RATE)].astype(np.float32)
    return samples


def sound(name: str, samples: np.ndarray | None = None, **columns: Any) -> dict[str, Any]:
    """Columns that raw and evalset share, of a file of this name."""
    sha256 = hash_bytes(columns.pop("file", name).encode())
    heard = {} if samples is None else {"num_samples": len(samples), "landmarks": landmarks(samples, RATE)}
    rate = {} if samples is None else {"sample_rate": RATE}
    return {
        "clip_id": sha256[:32],
        "sha256": sha256,
        "path": f"a/{name}",
        "licence": "CC0-1.0",
        **rate,
        **heard,
        **columns,
    }


def raw_row(name: str, samples: np.ndarray | None = None, **columns: Any) -> Raw:
    return Raw(medium="audio", corpus="a", domain="speech", **sound(name, samples, **columns))


def item(name: str, samples: np.ndarray | None = None, *, of: str = "set", **columns: Any) -> EvalsetItem:
    return EvalsetItem(name=of, **sound(name, samples, **columns))


def cut_of(raw: Raw, clip_id: str = "", **columns: Any) -> Annotated:
    values = {"first_sample": 0, "num_samples": raw.num_samples, **columns}
    return Annotated(
        clip_id=clip_id or raw.clip_id, raw_clip_id=raw.clip_id, corpus="a", path=raw.path, domain="speech", licence="",
        sample_rate=raw.sample_rate, split="train", **values,
    )  # fmt: skip


def publish(store: Store, kind: str, rows: Iterable[Any], ref: str = "latest", **parameters: Any) -> Manifest:
    plan = Plan(
        kind=kind, schema_version=newest(kind).version, parents={}, parameters={"ref": ref, **parameters},
        code_version="test", units=["all"],
    )  # fmt: skip
    with store.writer(plan, owner="test", ref=ref) as writer:
        writer.put_shard("all", list(rows))
        return writer.publish()


def contamination(root: Path, rows: list[Raw], items: list[EvalsetItem]) -> Contamination:
    store = Store(root)
    raw = publish(store, "raw", rows)
    for name in {one.name for one in items}:
        publish(store, "evalset", [one for one in items if one.name == name], name)
    return Contamination.find(store, raw, registered(store))


def leaks(found: Contamination, cuts: list[Annotated]) -> list[tuple[str, str, str]]:
    """(clip, set, how) of each."""
    table = found.leaks(to_table(cuts, Annotated))
    return [(row["clip_id"], row["name"], row["how"]) for row in table.to_pylist()]


def test_the_same_file_is_a_leak_and_another_is_none(tmp_path: Path) -> None:
    rows = [raw_row("x", noise(0, 1)), raw_row("y", noise(1, 1))]
    found = contamination(tmp_path, rows, [item("x"), item("z", noise(2, 1))])
    assert leaks(found, [cut_of(row) for row in rows]) == [(rows[0].clip_id, "set", "file")]


def test_two_utterances_of_a_recording_are_not_the_same_file_but_it_and_an_utterance_are(tmp_path: Path) -> None:
    first, second, other = "1" * 32, "2" * 32, "3" * 32
    rows = [
        raw_row("1", file="talk", clip_id=first), raw_row("2", file="talk", clip_id=second), raw_row("3", file="speech", clip_id=other)
    ]  # fmt: skip
    found = contamination(tmp_path, rows, [item("1", file="talk", clip_id=first), item("whole", file="speech")])
    assert leaks(found, [cut_of(row) for row in rows]) == [(first, "set", "file"), (other, "set", "file")]


def test_the_same_samples_in_another_file_are_a_leak_and_unknown_samples_are_not(tmp_path: Path) -> None:
    rows = [raw_row("x", audio_sha256="7" * 64), raw_row("y", audio_sha256=None)]
    found = contamination(tmp_path, rows, [item("wav", audio_sha256="7" * 64), item("old", audio_sha256=None)])
    assert leaks(found, [cut_of(row) for row in rows]) == [(rows[0].clip_id, "set", "samples")]


def test_a_quieter_noisy_late_copy_is_a_leak(tmp_path: Path) -> None:
    samples = noise(0, 3)
    copy = 0.4 * samples[1_111:] + np.random.default_rng(9).normal(0, 0.001, len(samples) - 1_111).astype(np.float32)
    rows = [raw_row("x", samples), raw_row("y", noise(1, 3))]
    found = contamination(tmp_path, rows, [item("copy", copy), item("silence", np.zeros(RATE, np.float32))])
    assert leaks(found, [cut_of(row) for row in rows]) == [(rows[0].clip_id, "set", "sound")]


def test_of_a_long_recording_only_the_cuts_that_hold_the_item_leak(tmp_path: Path) -> None:
    samples = noise(0, 12)
    (row,) = rows = [raw_row("talk", samples)]
    found = contamination(tmp_path, rows, [item("piece", samples[int(4.5 * RATE) : int(7.5 * RATE)])])
    cuts = [
        cut_of(row, f"{second:032d}", first_sample=second * RATE, num_samples=2 * RATE, given_text=None)
        for second in range(0, 12, 2)
    ]
    assert [int(clip) for clip, _, _ in leaks(found, cuts)] == [4, 6]


def test_one_file_in_two_sets_leaks_to_both_however_it_is_found(tmp_path: Path) -> None:
    samples = noise(0, 2)
    rows = [raw_row("x", samples), raw_row("copy", 0.5 * samples)]
    found = contamination(tmp_path, rows, [item("x", samples, of="one"), item("x", samples, of="two")])
    assert sorted(leaks(found, [cut_of(row) for row in rows])) == sorted(
        (row.clip_id, name, how) for row, how in zip(rows, ("file", "sound"), strict=True) for name in ("one", "two")
    )


def test_text_is_compared_cut_by_cut_in_every_column_that_is_trained_on(tmp_path: Path) -> None:
    row = raw_row("x", noise(0, 2))
    found = contamination(tmp_path, [row], [item("y", text=LINE)])
    texts: list[dict[str, Any]] = [
        {"given_text": f"so {LINE.upper()}!"}, {"transcript": LINE}, {"text": LINE}, {"lyrics": LINE}, {"caption": LINE},
        {"captions": ["a bell", LINE]}, {"given_text": "he hoped there would be stew"}, {"title": LINE}, {},
    ]  # fmt: skip
    cuts = [cut_of(row, f"{number:032d}", **columns) for number, columns in enumerate(texts)]
    assert [(int(clip), how) for clip, _, how in leaks(found, cuts)] == [(number, "text") for number in range(6)]
    (captions,) = [leak for leak in found.leaks(to_table(cuts, Annotated)).to_pylist() if int(leak["clip_id"]) == 5]
    assert captions["detail"] == f"captions: {LINE.rpartition(' ')[0]}", "the first long run"


def test_the_column_names_the_sets_of_each_row_in_the_tables_order(tmp_path: Path) -> None:
    samples = noise(0, 2)
    rows = [raw_row("x", samples), raw_row("y", noise(1, 2))]
    found = contamination(tmp_path, rows, [item("x", samples, of="b"), item("t", text=LINE, of="a")])
    cuts = [cut_of(rows[0], given_text=LINE), cut_of(rows[1]), cut_of(rows[1], "0" * 32, transcript=LINE)]
    table = pa.concat_tables([to_table([cut], Annotated) for cut in cuts])
    assert found.column(table).to_pylist() == [["a", "b"], [], ["a"]]
    assert found.column(table.slice(0, 0)).to_pylist() == []


def test_without_a_set_nothing_is_read_and_nothing_leaks(tmp_path: Path) -> None:
    row = raw_row("x", noise(0, 1))
    found = contamination(tmp_path, [row], [])
    assert found.column(to_table([cut_of(row, given_text=LINE)], Annotated)).to_pylist() == [[]]
    assert not (tmp_path / "cache").exists()


def test_a_plan_names_the_versions_it_was_made_for_though_a_set_changed_since(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = publish(store, "evalset", [item("x")], "set")
    said = content_ids(registered(store))
    publish(store, "evalset", [item("x"), item("y")], "set", changed=True)
    assert named(store, said) == {"set": before} != registered(store)
