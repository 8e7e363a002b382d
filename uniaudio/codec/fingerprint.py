"""The codec's identity: one hash over its config and every tensor, the same on any machine.

Row in   {"config": "{…}", "tensors": {"reasoning.merge.weight": [96, 128] float32}}
Row out  "c81f0a…" (32 hex digits)
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor
from uniaudio_schemas.fingerprint import short


def fingerprint(config_json: str, tensors: Mapping[str, Tensor]) -> str:
    """First 32 hex digits of sha256 over the config and, in name order, every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(config_json.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return short(digest.hexdigest())
