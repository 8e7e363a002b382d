"""Codes of one clip in a file, with what they need to be decoded again.

Row   {"reasoning": [15, 8] int16, "reconstruction": [36, 8] int16} + {"num_samples": "69105", "codec": "c81f…"} as metadata
"""

from pathlib import Path

import numpy as np
import torch
from uniaudio_schemas.errors import DataError, FingerprintError

from uniaudio.codec.codec import Codes
from uniaudio.tensor_file import write_tensors

STREAMS = ("reasoning", "reconstruction")


def save_codes(codes: Codes, path: str | Path, *, fingerprint: str) -> None:
    """Write a safetensors file; `fingerprint` is the codec's."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(codes, name))) for name in STREAMS}
    write_tensors(tensors, Path(path), metadata={"num_samples": str(codes.num_samples), "codec": fingerprint})


def load_codes(path: str | Path, *, fingerprint: str) -> Codes:
    """What `save_codes` wrote; codes of another codec are a `FingerprintError`, any other file a `DataError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in STREAMS}
            num_samples = int(metadata["num_samples"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a file of codes: {error}.") from error
    if metadata.get("codec") != fingerprint:
        raise FingerprintError(f"{path}: the codec must be {metadata.get('codec')}, but is {fingerprint}.")
    return Codes(tensors["reasoning"], tensors["reconstruction"], num_samples)
