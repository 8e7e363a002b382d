"""Drawing ids from logits, one uniform number a draw.

A row's numbers are a function of its own seed and step alone, so neighbours in a batch, finished rows and heads that
did not run change nothing.

Shapes: N rows, V ids, Q draws a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

LEAST_FACTOR, MOST_FACTOR = 1e-6, 1e6
"""Bounds of temperature, penalty and guidance. Beyond them float32 logits overflow, and the draw is no longer meaningful."""
NUM_DRAWS = 9
"""A step draws at most one id a column: 8 codes or 1 text id."""
_STEPS_AHEAD = 64
MOST_SEED = 1 << 63
"""Seeds of torch's generators lie between this and its negative."""


GROUPS = ("text", "reasoning", "semantic", "acoustic")
"""Streams that may be drawn alike: text; all codebooks of a reasoning frame; codebooks 0 and 1 of a reconstruction frame
(pronunciation, structure); its other six."""
_NUM_SEMANTIC = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """How one id is chosen; the defaults are greedy."""

    temperature: float = 0.0
    """Divides the logits; 0 is greedy."""
    top_k: int = 0
    """Keeps the k most likely ids; 0 keeps all, 1 is greedy."""
    top_p: float = 1.0
    """Keeps the fewest most likely ids that hold this share of the probability."""

    def __post_init__(self) -> None:
        if self.temperature != 0 and not LEAST_FACTOR <= self.temperature <= MOST_FACTOR:
            bounds = f"{LEAST_FACTOR:g} … {MOST_FACTOR:g}"
            raise UsageError(f"`temperature` must be 0 or lie in {bounds}, but is {self.temperature}.")
        if self.top_k < 0:
            raise UsageError(f"`top_k` must be 0 or more, but is {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"`top_p` must be above 0 and at most 1, but is {self.top_p}.")

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0 or self.top_k == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling(Draw):
    """How the ids of an answer are chosen: one way for all streams, and others for some."""

    cfg_scale: float = 1.0
    """Classifier-free guidance: how far from the answer to the blanked prompt; 1 is off and costs nothing."""
    seed: int = 0
    """Row i of a batch draws from `seed + i` unless seeds are given."""
    groups: Mapping[str, Draw] = field(default_factory=dict)
    """Streams of `GROUPS` that are drawn differently."""
    repetition_penalty: float = 1.0
    """Weakens ids that stand among the last `repetition_window` of their stream and segment; 1 is off."""
    repetition_window: int = 64
    """Text tokens or frames that the penalty looks back."""
    no_repeat_ngram: int = 0
    """No run of so many text ids comes twice in a segment; 0 is off."""

    def __post_init__(self) -> None:
        # `super()` without arguments does not work in a dataclass with slots.
        Draw.__post_init__(self)
        if unknown := sorted(set(self.groups) - set(GROUPS)):
            raise UsageError(f"`groups` must be of {', '.join(GROUPS)}, but hold {', '.join(unknown)}.")
        if not 1 <= self.repetition_penalty <= MOST_FACTOR:
            raise UsageError(f"`repetition_penalty` must lie in 1 … {MOST_FACTOR:g}, but is {self.repetition_penalty}.")
        if not abs(self.cfg_scale) <= MOST_FACTOR:
            raise UsageError(f"`cfg_scale` (--guidance) must lie in ±{MOST_FACTOR:g}, but is {self.cfg_scale}.")
        if not -MOST_SEED <= self.seed < MOST_SEED:
            raise UsageError(f"`seed` must lie within ±2^63, but is {self.seed}.")
        if self.repetition_window < 1 or self.no_repeat_ngram < 0:
            raise UsageError(
                "`repetition_window` must be 1 or more and `no_repeat_ngram` 0 or more, but they are "
                f"{self.repetition_window} and {self.no_repeat_ngram}."
            )

    @property
    def is_guided(self) -> bool:
        return self.cfg_scale != 1.0

    @property
    def penalizes(self) -> bool:
        return self.repetition_penalty != 1.0

    def of(self, kind: str, codebook: int = 0) -> Draw:
        """The way of one stream of a segment of `kind`."""
        group = kind
        if kind == "reconstruction":
            group = "semantic" if codebook < _NUM_SEMANTIC else "acoustic"
        return self.groups.get(group, self)


def guide(logits_2NV: Tensor, cfg_scale: float) -> Tensor:
    """Rows 0..N-1 with the prompt, rows N..2N-1 with the blanked one -> `[N, V]`."""
    given_NV, blank_NV = logits_2NV.chunk(2)
    return blank_NV + (given_NV - blank_NV) * cfg_scale


def sample(logits_NV: Tensor, draw: Draw, uniform_N: Tensor) -> Tensor:
    """One id a row, int64 `[N]`; ids with a logit of minus infinity are never drawn."""
    if draw.is_greedy:
        return logits_NV.argmax(dim=-1)
    logits_NV = logits_NV.float() / draw.temperature
    ids_NK: Tensor | None = None
    if draw.top_k or draw.top_p < 1:
        num_kept = min(draw.top_k or logits_NV.shape[-1], logits_NV.shape[-1])
        logits_NV, ids_NK = logits_NV.topk(num_kept, dim=-1)
    shares_NK = logits_NV.double().softmax(dim=-1)
    if draw.top_p < 1:
        before_NK = shares_NK.cumsum(dim=-1) - shares_NK
        shares_NK = shares_NK.where(before_NK < draw.top_p, 0.0)
    upto_NK = shares_NK.cumsum(dim=-1)
    threshold_N1 = uniform_N[:, None].to(upto_NK) * upto_NK[:, -1:]
    index_N1 = (upto_NK > threshold_N1).int().argmax(dim=-1, keepdim=True)
    return (index_N1 if ids_NK is None else ids_NK.gather(-1, index_N1))[:, 0]


class Uniforms:
    """The uniform numbers of one row, `[NUM_DRAWS]` float64 a step."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn = torch.empty(0, NUM_DRAWS, dtype=torch.float64)

    def at(self, step: int) -> Tensor:
        while step >= len(self._drawn):
            more = torch.rand(_STEPS_AHEAD, NUM_DRAWS, dtype=torch.float64, generator=self._generator)
            self._drawn = torch.cat([self._drawn, more])
        return self._drawn[step]
