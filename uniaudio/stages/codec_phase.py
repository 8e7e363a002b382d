"""What a phase of codec training is: which parts learn, for how long, with which loss. Imports no torch."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.plain import from_plain

from uniaudio.audio.frames import UNIT
from uniaudio.stages.schedule import Precision, Schedule

_NEVER = object()
_AT_REST = {"deterministic": True, "micro_clips": 0, "recompute": "none"}
TASKS = ("asr", "caption", "qa", "analysis")
"""What a text decoder may be asked about a clip (`uniaudio.training.codec.examples`)."""
Objective = Literal["encoders", "scalar", "reasoning", "grpo", "reconstruction", "decoder"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpoSettings:
    """Group-relative policy optimization (Shao et al. 2024), with the proposed numbers of the codec's specification."""

    num_rollouts: int = 8
    """Answers a clip: the group whose mean is the baseline."""
    max_answer_tokens: int = 512
    temperature: float = 1.0
    clip_range: float = 0.2
    """Range of the ratio between the policy and the one that wrote the answers."""
    kl_weight: float = 0.04
    """Weight of the distance to the policy that the phase started from."""
    sft_weight: float = 0.1
    """Weight of the supervised loss, which preserves transcripts and captions."""
    num_inner_steps: int = 1
    """Optimizer steps on one set of answers."""
    num_frozen_steps: int = 0
    """Steps in which the text decoder alone learns."""
    judge: str = "rules"
    """`rules`, the folder of a chat model, or the `http` address of an OpenAI-compatible endpoint."""
    judge_model: str = ""
    """The model's name at an endpoint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdversarialSettings:
    """Discriminators of phase `scalar`; weight 0 leaves them out."""

    weight: float = 0.0
    """Weight of the adversarial loss."""
    feature_weight: float = 0.0
    """Weight of the distance between the discriminators' features of real and decoded audio."""
    channels: int = 32
    """Channels of the discriminators."""
    num_spectral_steps: int = 0
    """Steps with spectral losses alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecPhase(Schedule):
    """Everything that decides what a phase does; part of a codec's identity."""

    name: Objective
    """Name of the loss (`uniaudio.training.codec.objectives`)."""
    trains: tuple[str, ...]
    """Modules and parameters of the codec that receive gradients; all others are frozen, buffers included."""
    num_clips: int
    """Crops an optimizer step, over all workers."""
    crop_samples: int
    """Longest crop, at 24 kHz; a multiple of 9,600."""
    micro_clips: int = 0
    """Crops in one pass on one worker, 0 all of its: memory, never arithmetic but for rounding. Codebooks move once a step, by the
    frames of all passes. `encoders` normalizes over all crops of a pass and takes 0 alone."""
    recompute: Literal["none", "blocks"] = "none"
    """What the backward pass computes again instead of keeping it: with `blocks` the activations inside each transformer block of
    reasoning branch, flow and text decoder."""
    codec_rate: float = 1.0
    """Learning rate of the codec's own parts over `learning_rate`, which is the text decoder's."""
    num_unquantized_steps: int = 0
    """Steps before the codebooks of `trains` are switched on, where they have no codes yet; in `scalar`, before latents are rounded: with more than 0 the
    autoencoder also starts as a cosine transform (`uniaudio.training.codec.scalar_start`)."""
    phone_weight: float = 0.1
    """Weight of the phone loss (released trainer)."""
    commitment_weight: float = 0.5
    """Weight of the commitment loss (released trainer: 0.5 in `reconstruction`; proposed: 1.0 in `reasoning`, 0.25 in `grpo`)."""
    context_probability: float = 0.5
    """Probability that a batch is given the first 32 to 64 latents of every crop."""
    condition_dropout: float = 0.1
    """Probability that a crop loses its condition (classifier-free guidance)."""
    film_dropout: float = 0.2
    """Probability that a group of a crop is not modulated; in training only."""
    reasoning_condition: float = 0.0
    """Probability that a crop of phase `decoder` is conditioned on its reasoning codes too."""
    num_targets: int = 256
    """Classes that masked frames are told apart by in `encoders`."""
    tasks: tuple[str, ...] = ()
    """Those of `TASKS` that `reasoning` and `grpo` ask about a clip. Empty: its one text, without a question."""
    text_model: str = ""
    """Folder of a causal language model with a tokenizer that is adapted (LoRA) to read reasoning frames; empty: the small
    decoder of bytes that is the codec's own, or one that is thrown away."""
    ctc_weight: float = 1.0
    """Weight of the CTC loss of the transcripts in `reasoning`, where the codec has a CTC head."""
    intelligibility_weight: float = 0.0
    """Weight of one minus the correlation of short envelopes with those of the crop, in `reconstruction` and `decoder`. Only a
    spectral autoencoder has envelopes."""
    num_teacher_layers: int = 2
    """Layers of the small decoder that is thrown away."""
    lora_rank: int = 32
    """Rank of LoRA, and its alpha, as released."""
    lora_dropout: float = 0.1
    adversarial: AdversarialSettings = AdversarialSettings()
    grpo: GrpoSettings = GrpoSettings()
    precision: Precision = "float32"
    """Precision of the matrix products in a step. The search for codes, the losses and the weights stay float32."""
    seed: int = 0
    max_skipped: int = 0
    num_threads: int = 1
    log_every: int = 50

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)  # `super()` knows no class with slots
        if self.crop_samples < UNIT or self.crop_samples % UNIT:
            raise UsageError(f"`crop_samples` must be a multiple of {UNIT}, but is {self.crop_samples}.")
        if not isinstance(self.num_clips, int) or self.num_clips < 1:
            raise UsageError(f"`num_clips` must be a whole number of 1 or more, but is {self.num_clips!r}.")
        self._check_passes()
        if self.max_rollbacks or self.spike_ratio:
            # The data of a step is a function of its number, and each rank knows the loss of its own crops.
            raise UsageError(
                "`max_rollbacks` and `spike_ratio` must be 0 for a codec, which would meet the same data again, "
                f"but are {self.max_rollbacks} and {self.spike_ratio}."
            )
        if not 0 <= self.num_unquantized_steps < self.num_steps:
            raise UsageError(
                f"`num_unquantized_steps` must be less than `num_steps`, but is {self.num_unquantized_steps}."
            )
        # A checkpoint holds no answers: it must fall between two sets of them.
        inner = self.grpo.num_inner_steps
        if self.grpo.num_rollouts < 2 or inner < 1 or self.checkpoint_every % inner or self.num_steps % inner:
            raise UsageError(
                "`num_rollouts` must be 2 or more and `num_steps` and `checkpoint_every` multiples of `num_inner_steps`, "
                f"but are {self.grpo.num_rollouts}, {self.num_steps}, {self.checkpoint_every} and {inner}."
            )

    def _check_passes(self) -> None:
        if not isinstance(self.micro_clips, int) or self.micro_clips < 0:
            raise UsageError(f"`micro_clips` must be a whole number of 0 or more, but is {self.micro_clips!r}.")
        if self.micro_clips and self.name == "encoders":
            raise UsageError(
                f"`micro_clips` of phase `encoders` must be 0, whose music encoder normalizes over all crops of a pass, "
                f"but is {self.micro_clips}."
            )
        if self.recompute not in ("none", "blocks"):
            raise UsageError(f"`recompute` must be none or blocks, but is {self.recompute!r}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the phase's identity. Phases were known by it before they had the fields of `_AT_REST`, which are in it where
        they are not at rest."""
        return {name: value for name, value in asdict(self).items() if _AT_REST.get(name, _NEVER) != value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CodecPhase":
        """The inverse of `to_dict`, through JSON too."""
        return from_plain(cls, values, "codec phase")


def check_size(size: str) -> None:
    """`released` sizes are loaded, never trained here."""
    if size not in ("debug", "starter"):
        raise UsageError(f"`size` must be debug or starter to be trained, but is {size!r}.")
