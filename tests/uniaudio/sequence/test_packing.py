"""Packing: nothing lost, little wasted, the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError

from uniaudio.sequence.layout import lay_out
from uniaudio.sequence.packing import PADDING_DOCUMENT, pack, pack_lengths, pack_rows
from uniaudio.sequence.segments import text_segment
from uniaudio.text.tokenizer import ByteTokenizer


def skewed_lengths(seed: int, count: int = 800) -> list[int]:
    """Many short examples, a long tail, as clips are."""
    lengths = np.random.default_rng(seed).lognormal(mean=5.0, sigma=0.8, size=count)
    return np.clip(lengths, 8, 1024).astype(int).tolist()


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_at_most_three_percent_of_the_slots_are_padding(seed: int) -> None:
    lengths = skewed_lengths(seed)
    rows = pack_lengths(lengths, 1024)
    assert sum(lengths) >= 0.97 * 1024 * len(rows)


@given(st.lists(st.integers(1, 50), max_size=60))
def test_every_example_is_in_one_row_that_holds_it(lengths: list[int]) -> None:
    rows = pack_lengths(lengths, 50)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 50 for row in rows)


def test_packing_twice_is_packing_once() -> None:
    assert pack_lengths(skewed_lengths(3), 1024) == pack_lengths(skewed_lengths(3), 1024)


def test_an_example_that_fits_no_row_is_refused() -> None:
    with pytest.raises(UsageError, match="example 1 has 11"):
        pack_lengths([3, 11], 10)


@given(st.lists(st.text(max_size=10), min_size=1, max_size=12))
def test_documents_can_be_told_apart_and_padding_is_no_target(texts: list[str]) -> None:
    grids = [lay_out([text_segment(text, "", ByteTokenizer(), loss=True)]) for text in texts]
    rows = pack(grids, 64)
    is_padding = rows.document_ids == PADDING_DOCUMENT
    assert not rows.loss[is_padding].any() and not rows.ids[is_padding].any()
    assert np.array_equal(rows.loss, ~is_padding) and not rows.is_audio.any()
    found = [
        ids[document_ids == document].tobytes()
        for ids, document_ids in zip(rows.ids, rows.document_ids, strict=True)
        for document in range(document_ids.max() + 1)
    ]
    assert sorted(found) == sorted(grid.ids.tobytes() for grid in grids)


def test_grids_that_do_not_fit_into_a_row_are_refused() -> None:
    grid = lay_out([text_segment("hello", "", ByteTokenizer(), loss=True)])
    with pytest.raises(UsageError, match="must fit into 13 positions, but one reaches 14"):
        pack_rows([[grid], [grid, grid]], 13)
