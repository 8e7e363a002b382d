"""Floating-point operations of a step, counted as torch's counter does: two a multiplication of a matrix.

A weight costs 2 a position forward, 2 for the gradient of its input where something before it learns, 2 for its own where it
learns. Attention over n positions costs 4 A n a position forward and 2.5 times that backward (a fused kernel multiplies again),
the half above the diagonal counted, as is usual. Embeddings cost nothing. Letters as in `shapes`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from uniaudio.lm.config import MAX_LOGITS, LMConfig
from uniaudio.stages.schedule import Recomputation
from uniaudio.training.plan.shapes import STACKS, Reach, attention_width, block_products, reach_of, stack_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Positions and targets of one pass."""

    positions: float
    text_targets: float
    audio_targets: float
    document: float
    """Positions that a position's document has, its mean: attention reaches no further."""


def flops_of(
    config: LMConfig, trains: Collection[str], counts: Counts, *, recomputation: Recomputation = "none"
) -> dict[str, float]:
    """Module -> operations forward and backward; those done twice to save memory are counted where `recomputation` says so, so
    that `none` gives what MFU divides by. A head's chunks are computed twice wherever there are several.
    """
    reach, flops = reach_of(trains), {}
    for module in STACKS:
        positions = counts.positions
        document = counts.document
        if module == "local_decoder":
            positions, document = counts.audio_targets * config.num_codebooks, float(config.num_codebooks)
        flops[module] = _of_stack(config, module, reach[module], positions, document, recomputation)
    frames = counts.audio_targets * config.num_codebooks
    depth = config.local_decoder.width
    heads = {
        "projection": (frames, config.width * depth),
        "audio_head": (frames, depth * config.audio_size),
        "text_head": (counts.text_targets, config.width * config.text_size),
    }
    for module, (rows, weights) in heads.items():
        flops[module] = 2 * rows * weights * _times(reach[module])
    return flops


def chunked_again(config: LMConfig, trains: Collection[str], counts: Counts) -> float:
    """Operations of heads that are computed twice, because their logits are never there together (`losses.in_chunks`)."""
    reach, frames = reach_of(trains), counts.audio_targets * config.num_codebooks
    text = 2 * counts.text_targets * config.width * config.text_size
    audio = 2 * frames * config.local_decoder.width * config.audio_size
    is_text = reach["text_head"].is_reached and counts.text_targets * config.text_size > MAX_LOGITS
    is_audio = reach["audio_head"].is_reached and frames * config.audio_size > MAX_LOGITS
    return text * is_text + audio * is_audio


def _of_stack(
    config: LMConfig, module: str, reach: Reach, positions: float, document: float, recomputation: Recomputation
) -> float:
    stack = stack_of(config, module)
    again = recomputation == "blocks" and reach.is_reached
    # Recomputation stops where the backward pass has all that it needs: before a block's last product.
    products_again = again * (block_products(stack) - stack.width * stack.mlp_width)
    # A norm that learns stands before every product: whatever learns here, all inputs have gradients.
    products = 2 * (block_products(stack) * (1 + reach.learns + reach.is_reached) + products_again)
    attention = 4 * attention_width(stack) * document * (1 + 2.5 * reach.is_reached + again)
    return positions * stack.num_layers * (products + attention)


def _times(reach: Reach) -> int:
    """How often a weight is multiplied with a position."""
    return 1 + reach.learns + reach.passes
