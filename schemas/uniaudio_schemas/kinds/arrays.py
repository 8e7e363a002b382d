"""numpy arrays in Arrow columns: the codes of a clip, ids of text, landmarks of a recording. Range and shape are checked, memory is shared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

NUM_CODEBOOKS = 8
CODES_TYPE = pa.list_(pa.list_(pa.int16(), NUM_CODEBOOKS))
TEXT_IDS_TYPE = pa.list_(pa.int32())
LANDMARKS_TYPE = pa.list_(pa.int64())
_DTYPES = {CODES_TYPE: np.int16, TEXT_IDS_TYPE: np.int32, LANDMARKS_TYPE: np.int64}


def array_column(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    """Arrays -> one column; None stays null. Raises ValueError for another shape, dtype or range."""
    width = NUM_CODEBOOKS if arrow == CODES_TYPE else 0
    dtype = np.dtype(_DTYPES[arrow])
    parts = [_checked(value, width, dtype) for value in values if value is not None]
    lengths = [0 if value is None else len(value) for value in values]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{offsets[-1]} elements in one record batch, at most {np.iinfo(np.int32).max}")
    flat = np.concatenate([np.zeros((0, width) if width else 0, dtype), *parts])
    items = pa.array(flat.reshape(-1))
    if width:
        items = pa.FixedSizeListArray.from_arrays(items, type=arrow.value_type)
    mask = pa.array([value is None for value in values]) if any(value is None for value in values) else None
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), items, type=arrow, mask=mask)


def array_values(column: pa.Array) -> list[np.ndarray | None]:
    """One column -> arrays that are read-only views of its memory."""
    items = column.flatten()
    flat = items.flatten().to_numpy().reshape(-1, NUM_CODEBOOKS) if column.type == CODES_TYPE else items.to_numpy()
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths, dtype=np.int64)
    return [
        flat[end - length : end] if there else None for there, length, end in zip(valid, lengths, ends, strict=True)
    ]


def _checked(value: Any, width: int, dtype: np.dtype[Any]) -> np.ndarray:
    array = np.asarray(value)
    expected = f"[n, {width}]" if width else "[n]"
    if array.ndim != (2 if width else 1) or (width and array.shape[1] != width):
        raise ValueError(f"shape must be {expected}, but is {list(array.shape)}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"dtype must be an integer, but is {array.dtype}")
    limits = np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(f"values must fit {dtype}, but reach from {array.min()} to {array.max()}")
    return array.astype(dtype, copy=False)
