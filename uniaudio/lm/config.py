"""How large every stack of the language model is: one frozen config from which all modules are built.

Presets: `debug` (seconds on a CPU), `starter` (hours on two cores), `paper_1b` and `paper_3b` (text backbones of the shapes of
LLaMA-3.2-1B and 3B; the 3B one is the released model).
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.plain import from_json

TEXT_COLUMN = 8
"""Column of the text id in a position of 9 ids; columns 0..7 are the audio codebooks."""

MAX_LOGITS = 1 << 26
"""Logits that a head has at once in training (`uniaudio.training.lm.losses`): 256 MiB in float32 and three times that at the
fullest moment, where 4,096 targets over 128k ids would be 2 GiB and three times that. Here because plans of memory count them too."""


class VocabularySizes(Protocol):
    """The part of `uniaudio.sequence.vocabulary.Vocabulary` that decides shapes."""

    @property
    def text_size(self) -> int: ...
    @property
    def audio_size(self) -> int: ...
    @property
    def num_codebooks(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"`{name}` must be a whole number of {least} or more, but is {value!r}.")


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise UsageError(f"`{name}` must be a number above 0, but is {value!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeConfig:
    """Rotary position embedding, with the frequency rescale of LLaMA-3.1 and later where `factor` is above 1."""

    base: float = 500_000.0
    """Base of the geometric series of frequencies."""
    factor: float = 1.0
    """Factor by which long wavelengths are stretched; 1 is plain rotary embedding."""
    low_frequency_factor: float = 1.0
    """Wavelengths above `original_context / this` are stretched wholly."""
    high_frequency_factor: float = 4.0
    """Wavelengths below `original_context / this` are left alone."""
    original_context: int = 8192
    """Positions of the context before stretching."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_positive(name, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class StackConfig:
    """One stack of pre-norm transformer blocks with a final norm."""

    num_layers: int
    """Blocks; 0 only for an expert that is switched off."""
    width: int
    """Size of the residual stream."""
    num_heads: int
    """Query heads."""
    num_kv_heads: int
    """Key and value heads; each serves `num_heads / num_kv_heads` query heads."""
    head_size: int
    """Size of a head; even, for rotary embedding."""
    mlp_width: int
    """Hidden size of the gated MLP."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_whole(name, value, 0 if name == "num_layers" else 1)
        if self.num_heads % self.num_kv_heads:
            raise UsageError(
                f"`num_heads` must be a multiple of `num_kv_heads` ({self.num_kv_heads}), but is {self.num_heads}."
            )
        if self.head_size % 2:
            raise UsageError(f"`head_size` must be even, but is {self.head_size}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LMConfig:
    """Every size of the model; the vocabulary's sizes are part of it."""

    text_size: int
    """Rows of the text embedding: text ids and text specials."""
    audio_size: int
    """Ids of one audio stream: reasoning codes, reconstruction codes and their specials in one combined range."""
    backbone: StackConfig
    """The text backbone, which becomes the cross-modal expert."""
    local_decoder: StackConfig
    """The depth transformer over the 8 codes of one frame."""
    num_understanding_layers: int
    """Blocks of the understanding expert, of the backbone's width; 0 switches it off (an ablation)."""
    num_generation_layers: int
    """Blocks of the generation expert, of the backbone's width; 0 switches it off (an ablation)."""
    num_codebooks: int = 8
    """Audio streams."""
    rope: RopeConfig = RopeConfig()
    """Shared by all stacks."""
    norm_eps: float = 1e-5
    """The epsilon of every RMS norm."""
    vocabulary_fingerprint: str = ""
    """The fingerprint of the vocabulary that the model was built for; empty when unknown."""

    def __post_init__(self) -> None:
        for name in ("text_size", "audio_size", "num_codebooks"):
            _check_whole(name, getattr(self, name), 1)
        for name in ("num_understanding_layers", "num_generation_layers"):
            _check_whole(name, getattr(self, name), 0)
        _check_positive("norm_eps", self.norm_eps)

    @property
    def width(self) -> int:
        return self.backbone.width

    @property
    def understanding_expert(self) -> StackConfig:
        return replace(self.backbone, num_layers=self.num_understanding_layers)

    @property
    def generation_expert(self) -> StackConfig:
        return replace(self.backbone, num_layers=self.num_generation_layers)

    @classmethod
    def preset(cls, name: str, vocabulary: VocabularySizes) -> "LMConfig":
        """The preset `name` with the sizes of `vocabulary`."""
        if name not in PRESETS:
            raise UsageError(f"`name` must be one of {', '.join(PRESETS)}, but is {name!r}.")
        return cls(
            text_size=vocabulary.text_size,
            audio_size=vocabulary.audio_size,
            num_codebooks=vocabulary.num_codebooks,
            vocabulary_fingerprint=vocabulary.fingerprint,
            **PRESETS[name],
        )

    def without_experts(self) -> "LMConfig":
        """The ablation: both experts off, audio goes straight into the backbone and out of it."""
        return replace(self, num_understanding_layers=0, num_generation_layers=0)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, name: str = "model config") -> "LMConfig":
        """The inverse of `to_json`; a text that is none is a `DataError` that begins with `name`."""
        return from_json(cls, text, name)


_LLAMA_3_2_ROPE = RopeConfig(factor=32.0)
# Shared by the released 1B and 3B models: both use the same depth transformer.
_RELEASED_LOCAL_DECODER = StackConfig(
    num_layers=4, width=2048, num_heads=32, num_kv_heads=8, head_size=64, mlp_width=8192
)

PRESETS: dict[str, dict[str, Any]] = {
    "debug": {
        "backbone": StackConfig(num_layers=4, width=128, num_heads=4, num_kv_heads=2, head_size=32, mlp_width=384),
        "local_decoder": StackConfig(num_layers=2, width=64, num_heads=2, num_kv_heads=1, head_size=32, mlp_width=192),
        "num_understanding_layers": 1,
        "num_generation_layers": 1,
        "rope": RopeConfig(base=10_000.0),
    },
    "starter": {
        "backbone": StackConfig(num_layers=6, width=256, num_heads=4, num_kv_heads=2, head_size=64, mlp_width=704),
        "local_decoder": StackConfig(num_layers=2, width=192, num_heads=3, num_kv_heads=1, head_size=64, mlp_width=512),
        "num_understanding_layers": 2,
        "num_generation_layers": 1,
        "rope": RopeConfig(base=10_000.0),
    },
    "paper_1b": {
        "backbone": StackConfig(num_layers=16, width=2048, num_heads=32, num_kv_heads=8, head_size=64, mlp_width=8192),
        "local_decoder": _RELEASED_LOCAL_DECODER,
        "num_understanding_layers": 3,
        "num_generation_layers": 2,
        "rope": _LLAMA_3_2_ROPE,
    },
    "paper_3b": {
        "backbone": StackConfig(num_layers=28, width=3072, num_heads=24, num_kv_heads=8, head_size=128, mlp_width=8192),
        "local_decoder": _RELEASED_LOCAL_DECODER,
        "num_understanding_layers": 3,
        "num_generation_layers": 2,
        "rope": _LLAMA_3_2_ROPE,
    },
}
"""Preset name -> everything but the vocabulary."""
