"""Bytes a rank holds at the fullest moment of a step, from shapes alone.

state        float32 weights, gradients and two moments of AdamW; the last three of what learns. Sharded over the ranks
gathered     weights in the precision of the pass. Sharded: the root (embeddings, heads, depth decoder) for the whole pass, and
             two blocks (one is computed with, the next is on its way). Not sharded, in bfloat16: autocast's copies, of all
             matrices where nothing is recomputed, else of the root and one block
whole        gradients that no rank has given up yet: the root's until the end of a pass; all of them, in float32, where
             several micro-batches are added up before ranks sum (`StageObjective.losses`)
reference    float32 weights of the frozen model that preference tuning measures against, sharded likewise; its pass is over, and what
             it gathered given up, before the model's begins, and holds less
kept         activations that wait for the backward pass
passing      what the moment adds: logits of a chunk, gradients inside a block, a weight's gradient before it is added

The moments that are compared: audio head, text head, a block in its backward pass, the sum of the root's gradients over ranks,
the optimizer. Gradients count as there from the start, as they are from the second micro-batch on.

Letters as in `shapes`; S positions of a micro-batch, M text targets, N audio targets, c bytes of a computed number (4 or 2).
"""

from collections.abc import Collection
from dataclasses import dataclass

from uniaudio.lm.config import MAX_LOGITS, LMConfig, StackConfig
from uniaudio.stages.schedule import Precision, Recomputation
from uniaudio.training.plan.shapes import (
    SHARDED_STACKS,
    STACKS,
    Reach,
    attention_width,
    block_parameters,
    kv_width,
    parameters_of,
    reach_of,
    stack_of,
)

RECOMPUTATIONS: tuple[Recomputation, ...] = ("none", "selective", "blocks")
"""Ways of recomputation, from the one that keeps most to the one that keeps least."""
FLOAT32 = 4
_LOGIT = 3 * FLOAT32
"""Bytes a logit at the fullest moment: its log probability, that one's gradient, and the logit's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One micro-batch on one rank."""

    positions: int
    text_targets: int
    audio_targets: int
    precision: Precision = "bfloat16"
    recomputation: Recomputation = "none"
    num_ranks: int = 1
    """Ranks that share one copy of the state; 1 is a model that is not sharded."""
    num_passes: int = 1
    """Micro-batches of a step on a rank."""

    @property
    def computed(self) -> int:
        return FLOAT32 if self.precision == "float32" else 2

    @property
    def is_sharded(self) -> bool:
        return self.num_ranks > 1

    @property
    def is_autocast(self) -> bool:
        """Float32 weights that are turned into bfloat16 as they are read."""
        return self.precision == "bfloat16" and not self.is_sharded


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes a rank, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    whole: int
    kept: int
    passing: int
    moment: str
    reference: int = 0

    @property
    def state(self) -> int:
        return self.weights + self.gradients + self.optimizer

    @property
    def peak(self) -> int:
        return self.state + self.reference + self.gathered + self.whole + self.kept + self.passing


def kept_by_block(stack: StackConfig, given: Pass, *, recomputation: Recomputation, learns: bool) -> int:
    """Bytes a position that a block leaves behind.

    none: two norms, each its input and its normalized input in float32 and its result; the product of queries, keys and values
    (the values are a part of it), rotated queries and keys, the heads' result as attention has it and as the product takes it,
    and four widths of the MLP (gate, its activation, up, their product). What only a weight's gradient needs is not there where
    weights are frozen: normalized inputs, and inputs of products.
    blocks: the block's input. selective: also what its products and attention gave.
    """
    width, heads, keys, hidden = stack.width, attention_width(stack), kv_width(stack), stack.mlp_width
    scores = stack.num_heads * FLOAT32
    if recomputation == "blocks":
        return width * _residual(given)
    if recomputation == "selective":
        products = 2 * width + 2 * heads + 2 * keys + 2 * hidden
        return width * _residual(given) + given.computed * products + scores
    attended = (heads + 2 * keys) + (heads + keys) + heads
    if not learns:
        return 2 * width * FLOAT32 + given.computed * (attended + 3 * hidden) + scores
    # Autocast turns the result into bfloat16 once for each product that reads it: queries, keys and values; gate; up.
    num_results = 3 if given.is_autocast else 2
    norms = 4 * width * FLOAT32 + num_results * width * given.computed
    return norms + given.computed * (attended + heads + 4 * hidden) + scores


def reference_of(config: LMConfig, given: Pass) -> int:
    """Bytes of a rank's part of a frozen copy of the model."""
    return FLOAT32 * sum(parameters_of(config).values()) // given.num_ranks


def traffic_of(config: LMConfig, trains: Collection[str], given: Pass, *, has_reference: bool = False) -> int:
    """Bytes that a rank receives in a step, and as many that it sends, where ranks share the state: weights of the blocks forward
    and backward and of the root forward, in every pass; all weights of a reference forward; float32 gradients of what learns once.
    """
    num_parameters, share_of_others = parameters_of(config), (given.num_ranks - 1) / given.num_ranks
    blocks = sum(num_parameters[module] for module in SHARDED_STACKS)
    gathered = given.computed * (2 * blocks + sum(num_parameters.values()) - blocks)
    gathered += given.computed * sum(num_parameters.values()) * has_reference
    return int(
        share_of_others * (given.num_passes * gathered + FLOAT32 * sum(num_parameters[module] for module in trains))
    )


def _residual(given: Pass) -> int:
    """Bytes of a number between blocks: autocast leaves sums in float32."""
    return FLOAT32 if given.is_autocast else given.computed


def memory_of(config: LMConfig, trains: Collection[str], given: Pass, *, has_reference: bool = False) -> Memory:
    """Memory of one rank in a stage that trains `trains`, with or without a frozen reference."""
    reach, num_parameters = reach_of(trains), parameters_of(config)
    num_learned = sum(num_parameters[module] for module in trains)
    root = [module for module in num_parameters if module not in SHARDED_STACKS]
    moments = _moments(config, reach, given, root)
    moment, (gathered, whole, kept, passing) = max(moments.items(), key=lambda item: sum(item[1]))
    return Memory(
        weights=FLOAT32 * sum(num_parameters.values()) // given.num_ranks,
        gradients=FLOAT32 * num_learned // given.num_ranks,
        optimizer=2 * FLOAT32 * num_learned // given.num_ranks,
        gathered=gathered,
        whole=whole,
        kept=kept,
        passing=passing,
        moment=moment,
        reference=reference_of(config, given) if has_reference else 0,
    )


def _moments(
    config: LMConfig, reach: dict[str, Reach], given: Pass, root: list[str]
) -> dict[str, tuple[int, int, int, int]]:
    """Moment -> bytes gathered, whole, kept and passing."""
    num_parameters = parameters_of(config)
    gathered, whole = _gathered(config, reach, given, root), _whole(config, reach, given, root)
    trunk = sum(_kept_by_stack(config, module, reach, given, given.positions) for module in SHARDED_STACKS)
    text_hidden = given.text_targets * config.width * given.computed
    frames = config.num_codebooks * given.audio_targets
    # The projection's input and the audio head's are kept too.
    depth = frames * given.computed * (config.width + config.local_decoder.width)
    depth += _kept_by_stack(config, "local_decoder", reach, given, frames)
    text_logits, audio_logits = given.text_targets * config.text_size, frames * config.audio_size
    heads_kept = trunk + depth + text_hidden + (FLOAT32 * text_logits if text_logits <= MAX_LOGITS else 0)

    def of_head(module: str, logits: int) -> int:
        return _LOGIT * min(logits, MAX_LOGITS) + _fresh(given, reach, module, num_parameters[module])

    moments = {
        "audio head": (gathered, whole, heads_kept, of_head("audio_head", audio_logits)),
        "text head": (gathered, whole, trunk + text_hidden, of_head("text_head", text_logits)),
    }
    for module, positions, kept in (("backbone", given.positions, trunk), ("local_decoder", frames, heads_kept)):
        if positions and reach[module].is_reached:
            passing = _passing_by_block(config, module, reach[module], given, positions)
            moments[f"a block of {module}"] = (gathered, whole, kept, passing)
    learning_modules = [module for module in num_parameters if reach[module].learns]
    if given.is_sharded:
        moments["sum over ranks"] = (
            gathered,
            whole,
            0,
            FLOAT32 * sum(num_parameters[one] for one in learning_modules if one in root),
        )
    largest = max((_largest_weight(config, module) for module in learning_modules), default=0)
    moments["optimizer"] = (0, 0, 0, 2 * FLOAT32 * largest // given.num_ranks)
    return moments


def _passing_by_block(config: LMConfig, module: str, reach: Reach, given: Pass, positions: int) -> int:
    """Bytes that a block needs only during its backward pass: what it computes again, gradients of one width of the MLP and of the
    residual stream, and the gradient of one weight.
    """
    stack = stack_of(config, module)
    without_recomputation, with_recomputation = (
        kept_by_block(stack, given, recomputation=mode, learns=reach.learns)
        for mode in (RECOMPUTATIONS[0], given.recomputation)
    )
    gradients = given.computed * (stack.mlp_width + stack.width)
    weight = given.computed * stack.width * stack.mlp_width * reach.learns
    return positions * (without_recomputation - with_recomputation + gradients) + weight


def _kept_by_stack(config: LMConfig, module: str, reach: dict[str, Reach], given: Pass, positions: int) -> int:
    """Bytes that all blocks keep, and the norm behind them: its input and its normalized input."""
    stack = stack_of(config, module)
    if not reach[module].is_reached or not stack.num_layers:
        return 0
    learns = reach[module].learns
    blocks = stack.num_layers * kept_by_block(stack, given, recomputation=given.recomputation, learns=learns)
    return positions * (blocks + (2 if learns else 1) * FLOAT32 * stack.width)


def _gathered(config: LMConfig, reach: dict[str, Reach], given: Pass, root: list[str]) -> int:
    num_parameters = parameters_of(config)
    if given.is_sharded:
        return given.computed * (sum(num_parameters[module] for module in root) + 2 * block_parameters(config.backbone))
    if not given.is_autocast:
        return 0
    copied = [module for module in num_parameters if reach[module].is_reached and not module.endswith("embedding")]
    blocks = 0 if given.recomputation == "none" else block_parameters(config.backbone)
    if given.recomputation != "none":
        copied = [module for module in copied if module in root]
    return given.computed * (sum(num_parameters[module] for module in copied) + blocks)


def _whole(config: LMConfig, reach: dict[str, Reach], given: Pass, root: list[str]) -> int:
    num_parameters = parameters_of(config)
    if not given.is_sharded:
        return 0
    if given.num_passes > 1:
        return FLOAT32 * sum(num_parameters[module] for module in num_parameters if reach[module].learns)
    return given.computed * sum(num_parameters[module] for module in root if reach[module].learns)


def _fresh(given: Pass, reach: dict[str, Reach], module: str, num_weights: int) -> int:
    """A gradient before it is added to the one that is there; what is added up in the graph is there twice."""
    return given.computed * num_weights if reach[module].learns else 0


def _largest_weight(config: LMConfig, module: str) -> int:
    num_parameters = parameters_of(config)
    if module not in STACKS:
        return num_parameters[module]
    return stack_of(config, module).width * stack_of(config, module).mlp_width
