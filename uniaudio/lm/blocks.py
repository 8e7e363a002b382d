"""The transformer body of all stacks: pre-norm blocks of grouped-query attention and a gated MLP, ended by a norm.

Shapes: B batch, S positions, K keys, D width, H query heads, G key and value heads, E head size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniaudio.lm.bare import Linear
from uniaudio.lm.cache import KVCache
from uniaudio.lm.config import StackConfig
from uniaudio.lm.packed import attend_in_blocks
from uniaudio.lm.recomputation import recomputed
from uniaudio.lm.rope import Rotation, rotate
from uniaudio.stages.schedule import Recomputation

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

    from uniaudio.lm.stepping import Steps


@dataclass(frozen=True, slots=True)
class Attend:
    """What all layers of a forward pass share: rotations and who may look at whom."""

    rotation: Rotation
    mask_BSK: Tensor | None = None
    """Boolean, True where position S may look at key K; None is plain causal attention among the new positions."""
    slots: Tensor | int | None = None
    """Cache slots of the new positions, `[B, S]` or the first one; None is slots 0..S-1, looking at these alone."""
    num_keys: int = 0
    """Slots to look at when `slots` is given."""
    documents: list[list[int]] | None = None
    """Lengths of the documents of each row, which look at themselves alone; instead of a mask, where nothing is cached."""
    blocks: "BlockMask | None" = None
    """The same documents as blocks of positions (`uniaudio.lm.packed`); instead of a mask, where nothing is cached."""


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x_float = x.to(torch.float32)
        x_float = x_float * torch.rsqrt(x_float.square().mean(-1, keepdim=True) + self.eps)
        return (x_float * self.weight.to(torch.float32)).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions; rows of `qkv` are all queries, all keys, all values."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_size = config.num_heads, config.num_kv_heads, config.head_size
        self.qkv = Linear(config.width, (config.num_heads + 2 * config.num_kv_heads) * config.head_size)
        self.out = Linear(config.num_heads * config.head_size, config.width)

    def forward(self, x_BSD: Tensor, attend: Attend, cache: KVCache | None, layer: int) -> Tensor:
        heads = self.qkv(x_BSD).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
        query, key, value = heads.split([self.num_heads, self.num_kv_heads, self.num_kv_heads], dim=1)
        query, key = rotate(query, attend.rotation), rotate(key, attend.rotation)
        if cache is not None:
            keys, values = cache.put(layer, key, value, attend.slots)
            if attend.slots is not None:
                key, value = keys[:, :, : attend.num_keys], values[:, :, : attend.num_keys]
        if attend.documents is not None:
            attended = self._within_documents(query, key, value, attend.documents)
            return self._joined(attended)
        is_grouped = self.num_kv_heads != self.num_heads
        if attend.blocks is not None:
            attended = attend_in_blocks(query, key, value, attend.blocks, grouped=is_grouped)
            return self._joined(attended)
        mask = None if attend.mask_BSK is None else attend.mask_BSK[:, None]
        # Fused kernels take grouped heads or a mask, not both; for one query the unfused path is cheaper anyway.
        if is_grouped and mask is not None and query.shape[2] > 1:
            repeats = self.num_heads // self.num_kv_heads
            key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
            is_grouped = False
        is_causal = mask is None and attend.slots is None
        attended = F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal, enable_gqa=is_grouped)
        return self._joined(attended)

    def _joined(self, attended: Tensor) -> Tensor:
        """`[B, H, S, E]` of all heads -> `[B, S, D]`."""
        out_BSD: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out_BSD

    def _within_documents(self, query: Tensor, key: Tensor, value: Tensor, documents: list[list[int]]) -> Tensor:
        """Causal attention of each document alone: a mask over whole rows would compute what it hides."""

        def alone(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)

        grouped = self.num_kv_heads != self.num_heads
        rows = []
        for *of_row, lengths in zip(query.split(1), key.split(1), value.split(1), documents, strict=True):
            parts = zip(*(heads.split(lengths, dim=2) for heads in of_row), strict=True)
            rows.append(torch.cat([alone(*part) for part in parts], dim=2))
        return torch.cat(rows)


class MLP(nn.Module):
    """`down(silu(gate x) * up x)`."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.gate = Linear(config.width, config.mlp_width)
        self.up = Linear(config.width, config.mlp_width)
        self.down = Linear(config.mlp_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return out


class Block(nn.Module):
    """Attention, then MLP, each behind a norm and added to the residual stream."""

    def __init__(self, config: StackConfig, norm_eps: float) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.width, norm_eps)
        self.mlp = MLP(config)
        self.recomputation: Recomputation = "none"
        self._compiled: Callable[[Tensor, Attend], Tensor] | None = None

    def forward(self, x_BSD: Tensor, attend: Attend, cache: KVCache | None, layer: int) -> Tensor:
        if cache is not None:
            return self._add(x_BSD, attend, cache, layer)
        return (self._compiled or self._train)(x_BSD, attend)

    def compile_training(self, backend: str | Callable[..., Any]) -> None:
        """From here on a pass without a cache is one compiled region, recomputation included; what shards wraps it."""
        self._compiled = torch.compile(self._train, fullgraph=True, backend=backend)

    def _train(self, x_BSD: Tensor, attend: Attend) -> Tensor:
        return cast(Tensor, recomputed(self._add, self.recomputation, x_BSD, attend, None, 0))

    def _add(self, x_BSD: Tensor, attend: Attend, cache: KVCache | None, layer: int) -> Tensor:
        x_BSD = x_BSD + self.attention(self.attention_norm(x_BSD), attend, cache, layer)
        out_BSD: Tensor = x_BSD + self.mlp(self.mlp_norm(x_BSD))
        return out_BSD


class Stack(nn.Module):
    """Blocks and a final norm."""

    def __init__(self, config: StackConfig, norm_eps: float) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Block(config, norm_eps) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.width, norm_eps)

    def forward(
        self, x_BSD: Tensor, attend: Attend, cache: KVCache | None = None, steps: "Steps | None" = None
    ) -> Tensor:
        """`[B, S, D]` -> `[B, S, D]`; a single position that sees a `cache` goes through `steps` where there are any."""
        if steps is not None and cache is not None and attend.slots is not None and x_BSD.shape[1] == 1:
            return steps(x_BSD, attend, cache)
        for layer, block in enumerate(self.layers):
            x_BSD = block(x_BSD, attend, cache, layer)
        normed_BSD: Tensor = self.norm(x_BSD)
        return normed_BSD

    def blocks(self) -> Iterator[Block]:
        return (cast(Block, block) for block in self.layers)
