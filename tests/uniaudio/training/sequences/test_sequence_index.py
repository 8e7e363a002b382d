from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, FingerprintError
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence, SequenceSegment

from uniaudio.training.lm.doubles import TASKS, tiny_sequence
from uniaudio.training.sequences.dataset import SequenceSet
from uniaudio.training.sequences.examples import Column, Without
from uniaudio.training.sequences.index import SequenceIndex, build_index, write_index
from uniaudio.training.sequences.shard import SequenceShard


def shards_of(rows: list[Sequence], num_shards: int = 3) -> list[pa.Table]:
    return [to_table(rows[start::num_shards], Sequence) for start in range(num_shards)]


def mixed_rows() -> list[Sequence]:
    """Tasks of several mixture groups in every split, some without loss."""
    rows = [
        tiny_sequence(task, split, number)
        for task in TASKS
        for split, count in (("train", 9), ("val", 3), ("test", 4))
        for number in range(count)
    ]
    return [
        replace(
            row,
            mixture=("speech", "text")[number % 7 < 3],
            segments=[replace(one, loss=False) for one in row.segments] if number % 5 == 0 else row.segments,
        )
        for number, row in enumerate(rows)
    ]


def num_positions(row: Sequence) -> int:
    return sum(one.length for one in row.segments)


def has_loss(row: Sequence) -> bool:
    return any(one.loss for one in row.segments)


def ids(sequences: SequenceSet, examples) -> list[str]:
    return [sequences.sequence_id(examples, number) for number in range(len(examples))]


@pytest.mark.parametrize("num_shards", [1, 4])
@pytest.mark.parametrize("max_length", [9, 20, 1_000])
def test_groups_are_the_rows_that_a_plain_search_finds(num_shards: int, max_length: int) -> None:
    rows = mixed_rows()
    sequences = SequenceSet.of(shards_of(rows, num_shards), "content")
    by_id = {row.sequence_id: row for row in rows}
    groups = sequences.groups(max_length=max_length)
    assert list(groups) == ["speech", "text"]
    for group, examples in groups.items():
        wanted = [
            row.sequence_id
            for row in sorted(rows, key=lambda row: row.sequence_id)
            if (row.split, row.mixture) == ("train", group) and has_loss(row) and num_positions(row) <= max_length
        ]
        found = ids(sequences, examples)
        assert found == wanted
        assert [examples.lengths[n] for n in range(len(examples))] == [num_positions(by_id[i]) for i in found]
        assert [examples.num_loss[n] for n in range(len(examples))] == [
            sum(one.length for one in by_id[i].segments if one.loss) for i in found
        ]
        assert examples.lengths.sum() == sum(num_positions(by_id[i]) for i in found)
        documents = sequences.documents(examples, range(len(examples)))
        assert all(np.array_equal(d.text_ids, by_id[i].text_ids) for d, i in zip(documents, found, strict=True))


@pytest.mark.parametrize("max_length", [20, 1_000])
def test_held_out_rows_and_first_rows_are_those_of_a_plain_search(max_length: int) -> None:
    rows = sorted(mixed_rows(), key=lambda row: row.sequence_id)
    sequences = SequenceSet.of(shards_of(rows), "content")
    held_out = sequences.held_out(max_length=max_length)
    for task in TASKS:
        fit = [r for r in rows if r.task == task and has_loss(r) and num_positions(r) <= max_length]
        val, test = ([r.sequence_id for r in fit if r.split == split] for split in ("val", "test"))
        in_turn = [i for n in range(9) for some in (val, test) for i in some[n : n + 1]]
        assert (ids(sequences, held_out[task]) if task in held_out else []) == in_turn
        if in_turn:
            documents = sequences.documents(held_out[task], range(len(in_turn)))
            assert [document.shard.sequence_id(document.row) for document in documents] == in_turn
        trained = [r.sequence_id for r in rows if r.task == task and has_loss(r) and r.split == "train"]
        assert ids(sequences, sequences.first(("train",), task)) == trained
        assert ids(sequences, sequences.first(("train",), task, 3)) == trained[:3]
    of_any = [r.sequence_id for r in rows if has_loss(r) and r.split != "train"]
    assert ids(sequences, sequences.first(("val", "test"), count=5)) == of_any[:5]
    assert sequences.held_out_tasks == sorted(TASKS)


def test_rows_that_are_too_long_are_named_in_id_order_with_loss_or_not() -> None:
    rows = sorted(mixed_rows(), key=lambda row: row.sequence_id)
    sequences = SequenceSet.of(shards_of(rows), "content")
    expected = [
        (row.sequence_id, num_positions(row))
        for row in rows
        if (row.split, row.mixture) == ("train", "speech") and num_positions(row) > 20
    ]
    assert expected and sequences.too_long(["speech"], max_length=20) == expected


def test_a_search_looks_at_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = mixed_rows()
    expected = ids(all_at_once := SequenceSet.of(shards_of(rows), "content"), all_at_once.first(("train",), "asr", 4))
    monkeypatch.setattr("uniaudio.training.sequences.dataset._ROWS_AT_ONCE", 2)
    sequences = SequenceSet.of(shards_of(rows), "content")
    assert ids(sequences, sequences.first(("train",), "asr", 4)) == expected


def test_a_version_without_rows_has_no_groups() -> None:
    sequences = SequenceSet.of([to_table([], Sequence)], "content")
    assert len(sequences) == 0
    assert sequences.groups(max_length=10) == {} and sequences.held_out(max_length=10) == {}
    assert not len(sequences.first(("train",)))


@given(size=st.integers(0, 40), data=st.data())
def test_a_range_without_some_is_the_list_without_them(size: int, data: st.DataObject) -> None:
    left_out = sorted(data.draw(st.sets(st.integers(0, size - 1)))) if size else []
    without = Without(range(5, 5 + size), np.asarray(left_out, np.int64))
    expected = [5 + place for place in range(size) if place not in left_out]
    assert [without[number] for number in range(len(without))] == expected
    values = np.arange(100, dtype=np.int32) ** 2
    assert Column(values, without).sum() == sum(values[expected].tolist())


def test_a_column_of_chosen_places_and_of_a_range_sums_in_64_bits() -> None:
    values = np.full(4, 2**31 - 1, np.int32)
    assert Column(values, np.array([0, 3, 3])).sum() == Column(values, range(1, 4)).sum() == 3 * (2**31 - 1)


def built(rows: list[Sequence], **metadata: str) -> pa.RecordBatch:
    tables = [table.replace_schema_metadata(metadata) for table in shards_of(rows)]
    return build_index([SequenceShard.of(table, f"shard {n}") for n, table in enumerate(tables)], "key")


def test_an_index_in_a_file_is_the_one_that_was_built(tmp_path: Path) -> None:
    batch = built(mixed_rows(), vocabulary="v", codec_fingerprint="c", other="o")
    with (tmp_path / "a.arrow").open("wb") as file:
        write_index(batch, file)
    opened, expected = SequenceIndex.open(tmp_path / "a.arrow", "key"), SequenceIndex.from_batch(batch, "key")
    for name in ("shard", "row", "num_positions", "num_loss", "task", "rank"):
        assert np.array_equal(getattr(opened, name), getattr(expected, name))
    assert opened.strata == expected.strata and opened.tasks == sorted(TASKS)
    assert opened.metadata == {"vocabulary": "v", "codec_fingerprint": "c"}


def test_an_index_of_something_else_or_torn_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with path.open("wb") as file:
        write_index(built(mixed_rows()), file)
    with pytest.raises(DataError, match=r"a\.arrow: not an index of sequences \(it is of key, not of other"):
        SequenceIndex.open(path, "other")
    whole = path.read_bytes()
    for size in (0, 1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not an index of sequences"):
            SequenceIndex.open(path, "key")


def test_opening_an_index_reads_no_row(tmp_path: Path) -> None:
    def resident(name: str) -> int:
        """KiB of this process."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

    num_rows = 1_000_000
    batch = built(mixed_rows())
    larger = pa.record_batch(
        {name: pa.array(np.zeros(num_rows, batch[name].type.to_pandas_dtype())) for name in batch.schema.names},
        metadata=batch.schema.metadata,
    )
    with (tmp_path / "a.arrow").open("wb") as file:
        write_index(larger, file)
    size_kib = (tmp_path / "a.arrow").stat().st_size // 1024
    assert size_kib == pytest.approx(24 * num_rows / 1024, rel=0.01)
    del larger
    before = resident("RssFile"), resident("RssAnon")
    index = SequenceIndex.open(tmp_path / "a.arrow", "key")
    assert len(index) == num_rows
    assert resident("RssFile") - before[0] < size_kib / 8 and resident("RssAnon") - before[1] < size_kib / 8


@pytest.mark.parametrize("change", [{"start": 7}, {"start": -1}, {"length": -1}, {"kind": "picture"}])
def test_a_segment_outside_its_row_is_named(change: dict) -> None:
    good = tiny_sequence("asr", "train", 0)
    last = good.segments[-1]
    bad = replace(good, segments=[*good.segments[:-1], SequenceSegment(**{**as_dict(last), **change})])
    with pytest.raises(DataError, match=f"shard 0: row {bad.sequence_id}: segment .* lies outside"):
        built([bad])


def as_dict(segment: SequenceSegment) -> dict:
    return {name: getattr(segment, name) for name in ("kind", "start", "length", "loss")}


def test_shards_of_two_codecs_stop_the_run() -> None:
    tables = [
        table.replace_schema_metadata({"codec_fingerprint": str(n)}) for n, table in enumerate(shards_of(mixed_rows()))
    ]
    with pytest.raises(FingerprintError, match="table 1: must share one `codec_fingerprint`"):
        SequenceSet.of(tables, "content")
