"""Reconstruction branch: how it sounds, in eight codes 12.5 times a second, and the condition the codes stand for.

Reads    all encoder states and the vectors of the reasoning codes `[B, R, D]`
Writes   reconstruction codes `[B, T, 8]`: level 0 phone (WavLM), 1 music, 2 to 7 acoustic
"""

# Shapes: B batch, T frames (12.5 Hz), R reasoning frames (5 Hz), Q levels, D width

from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniaudio.audio.frames import RECONSTRUCTION_HOP
from uniaudio.codec.blocks import Blocks
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoders.frozen import MEL_HOP, Features
from uniaudio.codec.film import TimeFiLM
from uniaudio.codec.reasoning import build_quantizer
from uniaudio.codec.semantic_decoder import SemanticDecoder

GROUPS = ("phone", "music", "acoustic")
# From 12.5 Hz to WavLM's 50 Hz.
PHONE_STRIDES = (2, 2)
MEL_LAYERS, MEL_KERNEL_SIZE, MEL_FF_MULTIPLIER = 3, 5, 3


class Reconstructed(NamedTuple):
    """What the branch makes of a batch."""

    modulated: dict[str, Tensor]
    """Each group's frames `[B, T, D]`, before quantization."""
    phone: Tensor
    """Quantized phone group `[B, T, D]`."""
    condition: Tensor
    """`[B, T, D]`: what the decoder is told."""
    codes: Tensor
    """`[B, T, Q]` int64."""
    commitment: Tensor
    """Scalar: phone + music + the mean of the acoustic levels."""


class ReconstructionBranch(nn.Module):
    """Three groups of features, each fused, modulated by the reasoning codes and quantized on its own."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        whisper, phones, music, dim = config.whisper.dim, config.phone_dim, config.music.dim, config.dim
        self.whisper_down = nn.Conv1d(whisper, whisper, 4, stride=4)
        self.wavlm_down = nn.Conv1d(phones, phones, 4, stride=4)
        self.music_semantic_down = nn.Conv1d(music, music, 2, stride=2)
        self.music_acoustic_down = nn.Conv1d(music, music, 2, stride=2)
        self.mel_in = MelEncoder(config.num_mel_bands, dim) if config.num_mel_bands else None
        beside = dim if self.mel_in else 0
        widths = {"phone": phones + beside, "music": music + beside, "acoustic": music + whisper + beside}
        self.fuse = nn.ModuleDict({group: nn.Linear(widths[group], dim) for group in GROUPS})
        self.film = nn.ModuleDict({group: TimeFiLM(dim) for group in GROUPS})
        self.reasoning_adaptor = nn.Linear(dim, dim)
        quantizers = {"phone": config.phone, "music": config.music_group, "acoustic": config.acoustic}
        self.quantizers = nn.ModuleDict({group: build_quantizer(dim, quantizers[group]) for group in GROUPS})
        self.condition_out = nn.Linear(dim, dim)
        self.padding_condition = nn.Parameter(torch.randn(dim) * dim**-0.5)
        # As wide inside as WavLM where the config says nothing else, like the released one.
        self.phone_decoder = SemanticDecoder(dim, config.phone_decoder_dim or phones, phones, PHONE_STRIDES)

    def modulate(
        self, features: Features, reasoning_BRD: Tensor, dropped: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Each group's frames `[B, T, D]`, before quantization.

        `dropped`: items `[B]` whose group is left unmodulated; never when encoding.
        """
        fused = {group: self.fuse[group](frames_BTD) for group, frames_BTD in self._group(features).items()}
        condition_BTD = self._stretch(self.reasoning_adaptor(reasoning_BRD), fused["phone"].shape[1])
        return {
            group: self.film[group](fused[group], condition_BTD, None if dropped is None else dropped[group])
            for group in GROUPS
        }

    def forward(
        self,
        features: Features,
        reasoning_BRD: Tensor,
        valid_BT: Tensor | None = None,
        dropped: dict[str, Tensor] | None = None,
    ) -> Reconstructed:
        """Modulate and quantize; frames where `valid_BT` is False are left out of losses and codebook updates."""
        modulated = self.modulate(features, reasoning_BRD, dropped)
        results = {group: self.quantizers[group](modulated[group], valid_BT) for group in GROUPS}
        quantized = {group: result[0] for group, result in results.items()}
        codes_BTQ = torch.cat([results[group][1] for group in GROUPS], dim=-1)
        commitment = torch.stack([results[group][2].mean() for group in GROUPS]).sum()
        condition_BTD = self.condition_out(quantized["phone"] + quantized["music"] + quantized["acoustic"])
        return Reconstructed(modulated, quantized["phone"], condition_BTD, codes_BTQ, commitment)

    def unquantized(
        self, features: Features, reasoning_BRD: Tensor, dropped: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Phone group and condition, `[B, T, D]` each, through all projections but no codebook: how training starts."""
        modulated = self.modulate(features, reasoning_BRD, dropped)
        passed = {}
        for group in GROUPS:
            quantizer = self.quantizers[group]
            passed[group] = quantizer.project_out(quantizer.code_space(modulated[group]))  # type: ignore[operator]
        return passed["phone"], self.condition_out(passed["phone"] + passed["music"] + passed["acoustic"])

    def encode(self, modulated: dict[str, Tensor]) -> Tensor:
        """Codes `[B, T, Q]` int64 of what `modulate` gave; changes no buffer."""
        return torch.cat([self.quantizers[group].encode_indices(modulated[group]) for group in GROUPS], dim=-1)  # type: ignore[operator]

    def condition(self, codes_BTQ: Tensor, reasoning_BTD: Tensor | None = None) -> Tensor:
        """`[B, T, Q]` int64 -> `[B, T, D]`, the inverse of the quantization; the reasoning codes are not needed, but
        what `reasoning_condition` made of them may be given.
        """
        first = 0
        parts: list[Tensor] = []
        for group in GROUPS:
            quantizer = self.quantizers[group]
            parts.append(quantizer.decode(codes_BTQ[..., first : first + quantizer.num_levels]))  # type: ignore[operator]
            first += quantizer.num_levels  # type: ignore[assignment, operator]
        total_BTD = torch.stack(parts).sum(dim=0)
        condition_BTD: Tensor = self.condition_out(total_BTD if reasoning_BTD is None else total_BTD + reasoning_BTD)
        return condition_BTD

    def reasoning_condition(self, reasoning_BRD: Tensor, num_frames: int) -> Tensor:
        """Vectors of the reasoning codes `[B, R, D]` -> what they add to the groups, `[B, T, D]`."""
        return self._stretch(self.reasoning_adaptor(reasoning_BRD), num_frames)

    def _group(self, features: Features) -> dict[str, Tensor]:
        """The inputs of the groups at 12.5 Hz; acoustic is music first, then Whisper, as in the released weights; mel
        patches beside each where the codec has them."""
        whisper, phones = _down(self.whisper_down, features.whisper), _down(self.wavlm_down, features.phones)
        heard = {
            "phone": [phones],
            "music": [_down(self.music_semantic_down, features.music_semantic)],
            "acoustic": [_down(self.music_acoustic_down, features.music_acoustic), whisper],
        }
        beside = [] if self.mel_in is None else [self.mel_in(features.mel)]
        return {group: torch.cat([*states, *beside], dim=-1) for group, states in heard.items()}

    @staticmethod
    def _stretch(reasoning_BRD: Tensor, num_frames: int) -> Tensor:
        """5 Hz to 12.5 Hz: frame i takes reasoning frame floor(i / 2.5)."""
        source_T = torch.arange(num_frames, device=reasoning_BRD.device) * 2 // 5
        return reasoning_BRD[:, source_T]


class MelEncoder(nn.Module):
    """Mel patches to vectors of the branch's width, each of which knows its neighbors."""

    def __init__(self, num_bands: int, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(num_bands * RECONSTRUCTION_HOP // MEL_HOP, dim)
        self.norm_in = nn.LayerNorm(dim)
        self.blocks = Blocks(dim, MEL_LAYERS, MEL_KERNEL_SIZE, MEL_FF_MULTIPLIER)
        self.norm_out = nn.LayerNorm(dim)
        self.direct = nn.Linear(num_bands * RECONSTRUCTION_HOP // MEL_HOP, dim)

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """`[B, T, bands * frames]` -> `[B, T, D]`."""
        x_BTD: Tensor = self.norm_out(self.blocks(self.norm_in(self.project_in(mel_BTM))))
        direct_BTD: Tensor = self.direct(mel_BTM)
        return direct_BTD + x_BTD


def _down(convolution: nn.Module, x_BTD: Tensor) -> Tensor:
    down_BTD: Tensor = convolution(x_BTD.transpose(1, 2)).transpose(1, 2)
    return down_BTD
