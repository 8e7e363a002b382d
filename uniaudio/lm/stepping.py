"""One new position through a stack, as decoding does hundreds of times: the same function as `Stack.forward`, in fewer
operations and over weights laid out for few rows (`uniaudio.lm.matrices`).

Models above `MAX_COPIED` parameters keep one copy of their weights alone, but for the local decoder, which every frame reads
eight times.

Shapes: B rows, D width, H query heads, G key and value heads, E head size, P = B * G, K keys.
"""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from uniaudio.lm.matrices import matrix

if TYPE_CHECKING:
    from uniaudio.lm.blocks import Attend, Block, RMSNorm, Stack
    from uniaudio.lm.cache import KVCache, Layer
    from uniaudio.lm.config import StackConfig
    from uniaudio.lm.rope import Rotation

MAX_COPIED = 1_000_000_000
"""Parameters of the largest model whose trunk is kept twice."""


class Turn(NamedTuple):
    """Factors of one position's queries, keys and values, float32 `[B or 1, H + 2G, E]`.

    Queries are scaled too, for the softmax; values stay as they are. The sine carries the sign of `rope.rotate`, as rolling
    a head by half its size swaps its halves.
    """

    cos: Tensor
    sin: Tensor


def turn_of(rotation: "Rotation", config: "StackConfig") -> Turn:
    """The rotation of one position for the heads of a stack."""
    cos, sin = rotation.cos[:, 0], rotation.sin[:, 0]
    first, second = sin.chunk(2, dim=-1)
    sin = torch.cat([-first, second], dim=-1)
    scale = config.head_size**-0.5
    heads, kv_heads = (-1, config.num_heads, -1), (-1, config.num_kv_heads, -1)
    return Turn(
        cos=torch.cat(
            [(cos * scale).expand(heads), cos.expand(kv_heads), torch.ones_like(cos).expand(kv_heads)], dim=1
        ),
        sin=torch.cat(
            [(sin * scale).expand(heads), sin.expand(kv_heads), torch.zeros_like(sin).expand(kv_heads)], dim=1
        ),
    )


class _BlockSteps:
    """One block of the stack, prepared for steps of one position."""

    def __init__(self, block: "Block", num_rows: int, may_copy: bool) -> None:
        attention, mlp = block.attention, block.mlp
        self.sizes = [attention.num_heads, 2 * attention.num_kv_heads]
        self.head_size = attention.head_size
        self.attention_norm, self.mlp_norm = _Norm(block.attention_norm), _Norm(block.mlp_norm)
        layers = (attention.qkv, attention.out, mlp.gate, mlp.up, mlp.down)
        self.qkv, self.out, self.gate, self.up, self.down = (
            matrix(layer, layer.weight, num_rows, may_copy=may_copy) for layer in layers
        )

    def __call__(self, x_BD: Tensor, turn: Turn, cache: "Layer", bias_B1K: Tensor | None) -> Tensor:
        heads = self.qkv(self.attention_norm(x_BD)).view(len(x_BD), -1, self.head_size)
        x = heads.to(torch.float32)
        turned = torch.addcmul(x * turn.cos, x.roll(self.head_size // 2, -1), turn.sin).to(heads.dtype)
        query, new = turned.split(self.sizes, dim=1)
        cache.put(new)
        x_BD = self.out.plus(_attend(query, cache, bias_B1K), x_BD)
        normed = self.mlp_norm(x_BD)
        return self.down.plus(self.up.times(normed, self.gate.silu(normed)), x_BD)


class Steps(Protocol):
    """How single positions go through a stack."""

    def __call__(self, x_B1D: Tensor, attend: "Attend", cache: "KVCache") -> Tensor:
        """`[B, 1, D]` -> `[B, 1, D]`; keys and values of the position go into `cache`."""

    def prepare(self, attend: "Attend") -> Any:
        """What `step` needs of `attend`, made once where many steps share it."""

    def step(self, x_BD: Tensor, prepared: Any, cache: "KVCache") -> Tensor:
        """`[B, D]` -> `[B, D]`; keys and values of the position go into `cache`."""


class StackSteps:
    """A stack for steps of about `num_rows` rows; `may_copy` False leaves its weights as they lie."""

    def __init__(self, stack: "Stack", num_rows: int, *, may_copy: bool) -> None:
        self.config = stack.config
        self.norm = _Norm(stack.norm)
        self.blocks = [_BlockSteps(block, num_rows, may_copy) for block in stack.blocks()]

    def __call__(self, x_B1D: Tensor, attend: "Attend", cache: "KVCache") -> Tensor:
        return self.step(x_B1D[:, 0], self.prepare(attend), cache)[:, None]

    def prepare(self, attend: "Attend") -> tuple[Turn, "Attend"]:
        return turn_of(attend.rotation, self.config), attend

    def step(self, x_BD: Tensor, prepared: tuple[Turn, "Attend"], cache: "KVCache") -> Tensor:
        turn, attend = prepared
        assert attend.slots is not None
        bias_B1K = None
        if attend.mask_BSK is not None:
            bias_B1K = torch.zeros_like(attend.mask_BSK, dtype=cache.both.dtype).masked_fill_(
                ~attend.mask_BSK, -torch.inf
            )
        for block, layer in zip(self.blocks, cache.layers(attend.slots, attend.num_keys), strict=True):
            x_BD = block(x_BD, turn, layer, bias_B1K)
        return self.norm(x_BD)


class _Norm:
    """`RMSNorm` in four operations: eps is one more side of the triangle whose long side divides."""

    def __init__(self, norm: "RMSNorm") -> None:
        weight = norm.weight.detach().to(torch.float32)
        self.weight = weight * len(weight) ** 0.5
        self.side = weight.new_tensor((norm.eps * len(weight)) ** 0.5)

    def __call__(self, x_BD: Tensor) -> Tensor:
        x = x_BD.to(torch.float32)
        length_B1 = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (x / torch.hypot(length_B1, self.side)).mul_(self.weight).to(x_BD.dtype)


def _attend(query_BHE: Tensor, seen: "Layer", bias_B1K: Tensor | None) -> Tensor:
    """`[B, H * E]`. In float32 two products and a softmax take half of the fused kernel's time; others it rounds less."""
    num_rows = len(query_BHE)
    num_groups = len(seen.keys_PKE) // num_rows
    if query_BHE.dtype != torch.float32:
        keys, values = (x.unflatten(0, (num_rows, num_groups)) for x in (seen.keys_PKE, seen.values_PKE))
        bias = None if bias_B1K is None else bias_B1K[:, None]
        query = query_BHE[:, :, None]
        attended = F.scaled_dot_product_attention(query, keys, values, bias, scale=1.0, enable_gqa=True)
        return attended.reshape(num_rows, -1)
    groups = query_BHE.reshape(len(seen.keys_PKE), -1, query_BHE.shape[-1])
    scores = torch.bmm(groups, seen.keys_PKE.mT)
    if bias_B1K is not None:
        scores = scores.unflatten(0, (num_rows, num_groups)).add_(bias_B1K[:, None]).flatten(0, 1)
    return torch.bmm(scores.softmax(dim=-1), seen.values_PKE).view(num_rows, -1)
