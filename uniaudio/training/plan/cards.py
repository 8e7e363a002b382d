"""Accelerators: memory and the makers' dense peak rates, without sparsity."""

from dataclasses import dataclass

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.schedule import Precision

RESERVED = 0.1
"""Share of a card's memory that a plan leaves alone: the driver's context, NCCL's buffers, holes between tensors. A guess: a
first run's `peak_memory_gb` beside what the driver shows says how good."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    memory_gib: float
    bfloat16_tflops: float
    float32_tflops: float

    def flops(self, precision: Precision) -> float:
        """Peak operations a second in this precision."""
        return 1e12 * (self.bfloat16_tflops if precision == "bfloat16" else self.float32_tflops)

    @property
    def usable(self) -> int:
        """Bytes that a plan may use."""
        return int(self.memory_gib * 2**30 * (1 - RESERVED))


CARDS = {
    "a100-40": Card(memory_gib=40, bfloat16_tflops=312, float32_tflops=19.5),
    "a100": Card(memory_gib=80, bfloat16_tflops=312, float32_tflops=19.5),
    "h100": Card(memory_gib=80, bfloat16_tflops=989, float32_tflops=67),
    "h200": Card(memory_gib=141, bfloat16_tflops=989, float32_tflops=67),
    "b200": Card(memory_gib=180, bfloat16_tflops=2250, float32_tflops=75),
    "l40s": Card(memory_gib=48, bfloat16_tflops=362, float32_tflops=91.6),
    "rtx4090": Card(memory_gib=24, bfloat16_tflops=165, float32_tflops=82.6),
}
"""SXM versions where there are several; float32 without TF32, which training here does not use."""


def card_of(name: str) -> Card:
    if name not in CARDS:
        raise UsageError(f"`gpu` must be one of {', '.join(CARDS)}, but is {name!r}.")
    return CARDS[name]
