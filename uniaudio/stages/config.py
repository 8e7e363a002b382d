"""What a stage of the language model is: which modules learn, from which mixture, for how long, with which loss."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.plain import from_plain

from uniaudio.stages.schedule import Precision, Recomputation, Schedule

Size = Literal["debug", "starter", "paper_1b", "paper_3b"]

ALL_MODULES = (
    "text_embedding",
    "audio_embedding",
    "understanding_expert",
    "backbone",
    "generation_expert",
    "projection",
    "local_decoder",
    "audio_head",
    "text_head",
)
"""Every module of `UniAudioLM` that holds parameters."""

OTHERS = "*"
"""The mixture group that stands for every group a phase does not name."""

NAMED_ALONE = ("conversation", "preference")
"""Groups that `*` does not stand for: a phase that does not name them draws none of them (decisions 16, 17)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixturePhase:
    """The weights of the mixture groups from one step on."""

    first_step: int
    weights: tuple[tuple[str, float], ...]
    """Share of each mixture group in the TOKENS drawn (normalized over the groups that have examples); `*` stands for
    the others, but for those of `NAMED_ALONE`."""

    def weight_of(self, group: str) -> float:
        weights = dict(self.weights)
        return weights.get(group, 0.0 if group in NAMED_ALONE else weights.get(OTHERS, 0.0))

    def draws_from(self, groups: set[str]) -> bool:
        """Whether it finds an example where only `groups` have any. A group of `NAMED_ALONE` is what the phase is for: without it
        the others would be trained on alone."""
        required_groups = {group for group in NAMED_ALONE if self.weight_of(group) > 0}
        return required_groups <= groups and any(self.weight_of(group) > 0 for group in groups)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig(Schedule):
    trains: tuple[str, ...]
    """Modules that receive gradients; the others are frozen and in eval mode."""
    mixture: tuple[MixturePhase, ...]
    """Schedule step -> weights, first phase at step 0."""
    context: int
    """Positions a packed row."""
    num_rows: int
    """Packed rows an optimizer step, over all workers."""
    micro_rows: int
    """Rows in one forward pass on one worker: memory, never arithmetic but for rounding."""
    size_exponent: float = 0.0
    """A mixture group's weight is multiplied by its tokens to this power (temperature sampling, arXiv 1907.05019):
    0 takes the weights as they are, 1 draws every example equally often. Small groups are repeated less."""
    text_weight: float = 1.0
    audio_weight: float = 1.0
    stream_weights: tuple[float, ...] = (1.0,) * 8
    """Divided by their number (8): (2, 2, 2, 1, 1, 1, 1, 1) is the paper's 2/8 and 1/8."""
    normalization: Literal["loss_frames", "all_frames"] = "loss_frames"
    """`all_frames` is the authors' way (lm.md 4.11)."""
    condition_dropout: float = 0.1
    """Probability that a generation example loses its condition (classifier-free guidance)."""
    distillation_weight: float = 0.0
    """Weight of the semantic distillation loss (`uniaudio.training.lm.distillation`); 0 leaves it out. The paper has it in
    stage 1 and its weight is not public."""
    precision: Precision = "float32"
    """The number format of the forward pass; parameters and optimizer stay float32."""
    recompute: Recomputation = "none"
    """What the backward pass computes again instead of keeping it (`uniaudio.lm.recomputation`): memory for time."""
    compile_blocks: bool = False
    """Whether torch compiles each block: minutes at the start, faster steps after."""

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)  # `super()` knows no class with slots
        unknown = sorted(set(self.trains) - set(ALL_MODULES))
        if unknown or not self.trains:
            raise UsageError(f"`trains` must name modules out of {', '.join(ALL_MODULES)}, but is {self.trains}.")
        first_steps = [phase.first_step for phase in self.mixture]
        if first_steps[:1] != [0] or sorted(set(first_steps)) != first_steps:
            raise UsageError(f"`mixture` must start at step 0 and ascend, but starts phases at {first_steps}.")
        for name in ("context", "num_rows", "micro_rows"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")
        for name, value in (
            ("text_weight", self.text_weight),
            ("audio_weight", self.audio_weight),
            *(("stream_weights", weight) for weight in self.stream_weights),
        ):
            # A step whose loss is no number is skipped: such a stage would end without having learned.
            if not 0 <= value < math.inf:
                raise UsageError(f"`{name}` must be 0 or more, but is {value}.")
        if not 0 <= self.condition_dropout <= 1:
            raise UsageError(f"`condition_dropout` must lie in 0 … 1, but is {self.condition_dropout}.")
        if self.distillation_weight < 0 or (self.distillation_weight and "understanding_expert" not in self.trains):
            raise UsageError(
                "`distillation_weight` must be 0 or more, and 0 where the understanding expert does not learn, "
                f"but is {self.distillation_weight}."
            )

    def draws_from(self, groups: set[str]) -> bool:
        """Whether every phase of the mixture finds an example where only `groups` have any."""
        return all(phase.draws_from(groups) for phase in self.mixture)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the stage's identity."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StageConfig":
        """The inverse of `to_dict`, also where the dictionary has been through JSON; what has a `beta` is a `PreferenceConfig`."""
        return from_plain(PreferenceConfig if "beta" in values else cls, values, "stage")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceConfig(StageConfig):
    """A stage that learns from pairs which of two answers is the better one, by direct preference optimization (Rafailov et al.
    2023, arXiv 2305.18290). What it starts from is the reference.

    The weights of text, audio and streams are not used: an answer's log-likelihood is that of all its text tokens and of all
    codes of its frames, as the model gives it.
    """

    beta: float
    """Scale of the margin (nats) in the loss, the mean over pairs of -log sigmoid(beta * margin). It decides how far the model
    moves from the reference."""
    chosen_weight: float = 0.0
    """Weight of the chosen answer's negative log-likelihood a token, added to that loss (Pang et al. 2024, arXiv 2404.19733).
    Without it the margin also grows where both answers become less likely."""

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        if not 0 < self.beta < math.inf:
            raise UsageError(f"`beta` must be more than 0 and finite, but is {self.beta}.")
        if not 0 <= self.chosen_weight < math.inf:
            raise UsageError(f"`chosen_weight` must be 0 or more and finite, but is {self.chosen_weight}.")
        if self.condition_dropout or self.distillation_weight:
            raise UsageError("`condition_dropout` and `distillation_weight` must be 0 where pairs are learned from.")
