from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.sequence.layout import grid_of, lay_out
from uniaudio.training.lm.doubles import tiny_sequences
from uniaudio.training.sequences import shard as sequence_shard
from uniaudio.training.sequences.shard import Document, SequenceShard

ROWS = sorted(tiny_sequences(num_train=5), key=lambda row: row.sequence_id)


def written(path: Path, table: pa.Table, batch_rows: int = 1024) -> Path:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=batch_rows)
    return path


@pytest.mark.parametrize("batch_rows", [1, 7, 1024])
def test_a_document_is_what_its_row_says(tmp_path: Path, batch_rows: int) -> None:
    shard = SequenceShard.open(written(tmp_path / "a.arrow", to_table(ROWS, Sequence), batch_rows))
    assert shard.num_rows == len(ROWS)
    for number, row in enumerate(ROWS):
        document = Document(shard, number)
        assert np.array_equal(document.audio_ids, row.audio_ids) and document.audio_ids.dtype == np.int16
        assert np.array_equal(document.text_ids, row.text_ids) and document.text_ids.dtype == np.int32
        assert [("audio" if one.is_audio else "text", *one[1:]) for one in document.spans()] == [
            (one.kind, one.start, one.length, one.loss) for one in row.segments
        ]
        laid_out, expected = lay_out(document.segments()), grid_of(row)
        assert np.array_equal(laid_out.ids, expected.ids) and np.array_equal(laid_out.loss, expected.loss)
        assert shard.sequence_id(number) == row.sequence_id
        assert shard.row(number) == row


@pytest.mark.parametrize("batch_rows", [7, 1024])
def test_blocks_hold_every_row_once_in_order(tmp_path: Path, batch_rows: int) -> None:
    shard = SequenceShard.open(written(tmp_path / "a.arrow", to_table(ROWS, Sequence), batch_rows))
    rows = [
        (block.audio_ids[slice(*block.audio_bounds[i : i + 2])], block.text_ids[slice(*block.text_bounds[i : i + 2])])
        for block in shard.blocks()
        for i in range(len(block.text_bounds) - 1)
    ]
    for (audio, text), row in zip(rows, ROWS, strict=True):
        assert np.array_equal(audio, row.audio_ids) and np.array_equal(text, row.text_ids)
    assert sum(len(block.audio_ids) for block in shard.blocks()) == sum(len(row.audio_ids) for row in ROWS)


def test_reading_a_document_copies_nothing_and_cannot_write(tmp_path: Path) -> None:
    shard = SequenceShard.open(written(tmp_path / "a.arrow", to_table(ROWS, Sequence)))
    document, again = Document(shard, 3), Document(shard, 3)
    assert np.shares_memory(document.text_ids, again.text_ids)
    with pytest.raises(ValueError, match="read-only"):
        document.text_ids[:] = 0


def test_a_file_that_is_no_shard_of_sequences_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    path.write_bytes(b"ARROW1" + bytes(100))
    with pytest.raises(DataError, match=r"a\.arrow: not a shard"):
        SequenceShard.open(path)
    with pytest.raises(DataError, match=r"b\.arrow: must be a shard of sequences, but says kind 'raw'"):
        SequenceShard.open(written(tmp_path / "b.arrow", to_table([], Raw)))
    table = to_table(ROWS, Sequence)
    renamed = table.rename_columns([f"x{n}" for n in range(9)]).replace_schema_metadata(table.schema.metadata)
    with pytest.raises(DataError, match=r"c\.arrow: must have the columns of sequences, but has x0"):
        SequenceShard.open(written(tmp_path / "c.arrow", renamed))


def test_a_shard_of_an_older_schema_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = to_table(ROWS, Sequence)
    older = table.drop_columns("clip_ids").replace_schema_metadata({"kind": "sequences", "schema_version": "0"})
    asked = []
    monkeypatch.setattr(sequence_shard, "migrate", lambda *given: asked.append(given[1:]) or table)
    path = written(tmp_path / "a.arrow", older)
    assert SequenceShard.open(path).row(2) == ROWS[2]
    assert asked == [("sequences", 0, str(path))]
