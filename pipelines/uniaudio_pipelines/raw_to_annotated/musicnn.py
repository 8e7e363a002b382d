"""Bring the music tagger into the folder of models, from the package musicnn, without TensorFlow.

Reads    a site-packages folder or a folder of wheels with `musicnn`
Writes   `<models>/musicnn/model.safetensors`: the weights under the names of `uniaudio.metrics.musicnn.MusicTagger`

A checkpoint of TensorFlow's is a sorted table of names (`.index`, a LevelDB table of uncompressed blocks whose values are
protocol buffers) and one file of numbers.
"""

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import hash_bytes

FOLDER, FILE = "musicnn", "model.safetensors"
INSTALL = "musicnn==0.1.0"
_INDEX, _NUMBERS = "musicnn/MTT_musicnn/.index", "musicnn/MTT_musicnn/.data-00000-of-00001"
_SHA256 = {
    _INDEX: "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
    _NUMBERS: "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
}
_FOOTER_BYTES, _MAGIC = 48, 0xDB4775248B80FB57
_TYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5
"""Fields of a table's entry."""
_FLOAT32 = 1
_CONVOLUTIONS = ("timbres.0", "timbres.1", "rhythms.0", "rhythms.1", "rhythms.2", "middle.0", "middle.1", "middle.2")
_NORMS = (
    "input_norm", "front_norms.0", "front_norms.1", "front_norms.2", "front_norms.3", "front_norms.4",
    "middle_norms.0", "middle_norms.1", "middle_norms.2", "pool_norm", "hidden_norm",
)  # fmt: skip
_DENSE = ("hidden", "output")
"""Layers of each kind are in the order in which the original made them, which is how it numbers them."""


def prepare(packages: Path, folder: Path) -> None:
    """Write the weights into `folder`, which exists; another package under the same name is a `DataError`."""
    from safetensors.numpy import save_file

    index, numbers = (_source(packages, member) for member in (_INDEX, _NUMBERS))
    state = rename(read_checkpoint(index, numbers))
    save_file({name: np.ascontiguousarray(value) for name, value in state.items()}, folder / FILE)


def read_checkpoint(index: bytes, numbers: bytes) -> dict[str, np.ndarray]:
    """Name -> float32 array of a checkpoint's `.index` and `.data` files; other types are left out."""
    if len(index) < _FOOTER_BYTES or struct.unpack_from("<Q", index, len(index) - 8)[0] != _MAGIC:
        raise DataError("The checkpoint's index must be a table, but has no footer of one.")
    footer = index[-_FOOTER_BYTES:]
    _, at = _varint(footer, _varint(footer, 0)[1])  # the place of the table's metadata
    arrays = {}
    for _, place in _block(index, *_place(footer, at)):
        for name, entry in _block(index, *_place(place, 0)):
            fields = _message(entry)
            if not name or fields.get(_TYPE) != [_FLOAT32]:
                continue
            shape = [_message(size).get(1, [0])[0] for size in _message(fields.get(_SHAPE, [b""])[0]).get(2, [])]
            first, size = fields.get(_OFFSET, [0])[0], fields.get(_SIZE, [0])[0]
            if first + size > len(numbers):
                raise DataError(f"The checkpoint's {name.decode()} must end in its data, but the data end before it.")
            arrays[name.decode()] = np.frombuffer(numbers[first : first + size], np.float32).reshape(shape)
    return arrays


def rename(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TensorFlow's names and axes -> those of `MusicTagger.state_dict()`."""
    state: dict[str, np.ndarray] = {}
    for number, name in enumerate(_CONVOLUTIONS):
        kernel = variables[_numbered("conv2d", number) + "/kernel"]  # [time, band, in, out]
        kernel = kernel.transpose(3, 2, 0, 1)
        if name.startswith("rhythms"):
            kernel = kernel[:, :, :, 0]
        elif name.startswith("middle"):
            kernel = kernel[:, 0].transpose(0, 2, 1)  # its bands are the channels below
        state[f"{name}.weight"] = kernel
        state[f"{name}.bias"] = variables[_numbered("conv2d", number) + "/bias"]
    for number, name in enumerate(_NORMS):
        source = _numbered("batch_normalization", number)
        for ours, theirs in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            state[f"{name}.{ours}"] = variables[f"{source}/{theirs}"]
        state[f"{name}.num_batches_tracked"] = np.asarray(0, np.int64)
    for number, name in enumerate(_DENSE):
        state[f"{name}.weight"] = variables[_numbered("dense", number) + "/kernel"].T
        state[f"{name}.bias"] = variables[_numbered("dense", number) + "/bias"]
    return state


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _source(packages: Path, member: str) -> bytes:
    """Bytes of a file of the package, installed or in its wheel, after its hash is compared."""
    data = (packages / member).read_bytes() if (packages / member).is_file() else None
    for wheel in sorted(packages.glob("musicnn-*.whl")) if data is None else ():
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    if data is None:
        raise UsageError(f"{packages} must hold the package of {member}, but has neither it nor its wheel: {INSTALL}.")
    if (sha256 := hash_bytes(data)) != _SHA256[member]:
        raise DataError(f"{packages}: {member} must have sha256 {_SHA256[member]}, but has {sha256}.")
    return data


def _block(table: bytes, first: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each entry of a block; a key is written without the start it shares with the one before."""
    block = table[first : first + size]
    if table[first + size] != 0:
        raise DataError("The checkpoint's index must not be compressed, but is.")
    (num_restarts,) = struct.unpack_from("<I", block, size - 4)
    at, key = 0, b""
    while at < size - 4 - 4 * num_restarts:
        num_shared, at = _varint(block, at)
        num_own, at = _varint(block, at)
        num_value, at = _varint(block, at)
        key = key[:num_shared] + block[at : at + num_own]
        yield key, block[at + num_own : at + num_own + num_value]
        at += num_own + num_value


def _place(data: bytes, at: int) -> tuple[int, int]:
    first, at = _varint(data, at)
    return first, _varint(data, at)[0]


def _message(data: bytes) -> dict[int, list[Any]]:
    """Field number -> values of a protocol buffer: integers, and bytes of strings and messages."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: Any
        if tag & 7 == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = data[at : at + size], at + size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
