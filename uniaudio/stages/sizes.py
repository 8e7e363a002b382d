"""How long and how wide the stages are at each size; what a stage is does not depend on it.

What the paper says of its sizes, and the reason of each number that it does not say, stands in `uniaudio.stages.paper`.
"""

from dataclasses import dataclass
from typing import Literal

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.config import Size
from uniaudio.stages.schedule import Recomputation

StageName = Literal["text_warmup", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """Everything of a stage that a size decides."""

    num_steps: dict[StageName, int]
    """Optimizer steps of each stage."""
    context: int
    """Positions a row in stages 1 to 3; stages 4 to 6 have twice as many."""
    num_rows: dict[StageName, int]
    """Rows an optimizer step."""
    micro_rows: int
    learning_rate: float
    """Peak of the warm-ups, `text_warmup` to stage 2."""
    joint_learning_rate: float
    """Peak of stage 3, where the backbone learns too, four times that of stages 4 and 5."""
    warmup_share: float
    """Share of the steps that warm up. Every stage starts with a new optimizer, and a few per cent of a few steps are too few."""
    distillation_weight: float
    """Weight of the distillation loss in stage 1; 0 leaves it out."""
    size_exponent: float
    """The paper says nothing of it; small corpora need it."""
    precision: Literal["float32", "bfloat16"]
    deterministic: bool
    recompute: Recomputation
    checkpoint_every: int
    log_every: int
    num_held_out: int
    """Held-out sequences a task."""


_PAPER = Lengths(
    num_steps={
        "text_warmup": 10_000,
        "stage1": 50_000,
        "stage2": 50_000,
        "stage3": 500_000,
        "stage4": 300_000,
        "stage5": 20_000,
        "stage6": 2_000,
    },
    context=1024,
    num_rows={"text_warmup": 64, "stage1": 64, "stage2": 64, "stage3": 96, "stage4": 32, "stage5": 32, "stage6": 32},
    micro_rows=1,
    # The authors' argument defaults (lm.md 5.3): learning rate 2e-4, save each 10,000 steps, print each 100.
    learning_rate=2e-4,
    joint_learning_rate=2e-4,
    warmup_share=0.03,
    distillation_weight=1.0,
    size_exponent=0.0,
    precision="bfloat16",
    deterministic=False,
    recompute="blocks",
    checkpoint_every=10_000,
    log_every=100,
    num_held_out=256,
)

LENGTHS: dict[Size, Lengths] = {
    # About 10 s a stage on two free CPU cores.
    "debug": Lengths(
        num_steps={
            "text_warmup": 80,
            "stage1": 80,
            "stage2": 80,
            "stage3": 160,
            "stage4": 60,
            "stage5": 60,
            "stage6": 60,
        },
        context=768,
        num_rows={"text_warmup": 1, "stage1": 1, "stage2": 1, "stage3": 1, "stage4": 1, "stage5": 1, "stage6": 1},
        micro_rows=1,
        learning_rate=2e-3,
        joint_learning_rate=2e-3,
        warmup_share=0.25,
        distillation_weight=0.0,
        size_exponent=0.5,
        precision="float32",
        deterministic=True,
        recompute="none",
        checkpoint_every=20,
        log_every=10,
        num_held_out=4,
    ),
    # An hour on two CPU cores, of which stage 3 takes three quarters (LOG.md, the starter's language model).
    "starter": Lengths(
        num_steps={
            "text_warmup": 100,
            "stage1": 200,
            "stage2": 200,
            "stage3": 1_500,
            "stage4": 60,
            "stage5": 60,
            "stage6": 20,
        },
        context=1024,
        num_rows={"text_warmup": 4, "stage1": 4, "stage2": 4, "stage3": 4, "stage4": 2, "stage5": 2, "stage6": 2},
        micro_rows=2,
        learning_rate=1e-3,
        # Of a backbone that is warmed up here. A pretrained one loses its text at 6e-4 (perplexity times 1.14 and 1.47) and keeps it
        # at 2e-4 (tests/bench/test_lm_text_kept.py): `learning_rate` of the run says so.
        joint_learning_rate=1e-3,
        warmup_share=0.05,
        distillation_weight=0.0,
        size_exponent=0.5,
        precision="bfloat16",
        deterministic=True,
        recompute="none",
        checkpoint_every=100,
        log_every=10,
        num_held_out=32,
    ),
    "paper_1b": _PAPER,
    "paper_3b": _PAPER,
}


CODEC_SIZES = {"paper_1b": "released", "paper_3b": "released"}
"""Size of a model -> that of the codec which its tokens come from, where no codec is called like the model."""


def lengths_of(size: str) -> Lengths:
    by_name = {str(name): lengths for name, lengths in LENGTHS.items()}
    if size not in by_name:
        raise UsageError(f"`size` must be one of {', '.join(by_name)}, but is {size!r}.")
    return by_name[size]
