"""Residual vector quantization: vectors to one code per level and back.

Reads    features `[B, T, D]`
Writes   codes `[B, T, Q]` int64, quantized features `[B, T, D]`, a commitment loss per level
Row in   a 768-dim feature of one 80 ms frame
Row out  [81, 3071, 7, 512, 4090, 12, 900, 33]
"""

# Shapes: B batch, T frames, Q levels, D width, C code width, N = B * T valid vectors

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, mse_loss, normalize

from uniaudio.codec.codebook import Codebook

# Below this length a direction is rounding noise.
SMALLEST_NORM = 1e-6


class ResidualVQ(nn.Module):
    """Project to code space, quantize what the level before left over, project the sum back.

    Codebooks learn by moving averages in `train()` only: `eval()` or `freeze_codebooks()` leaves every buffer
    bit-identical. Gradients pass through the search by the rotation trick.
    """

    normalizes = False
    """Whether a vector has mean 0 and deviation 1 before the search."""

    def __init__(
        self,
        dim: int,
        code_dim: int,
        num_levels: int,
        codebook_size: int,
        *,
        decay: float = 0.9,
        commitment: float = 1.0,
        dead_code_threshold: float = 2.0,
        kmeans_init: bool = False,
    ) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.codebook_size = codebook_size
        self.commitment = commitment
        self.project_in = nn.Linear(dim, code_dim)
        self.project_out = nn.Linear(code_dim, dim)
        self.codebooks = nn.ModuleList(
            Codebook(
                code_dim, codebook_size, decay=decay, dead_code_threshold=dead_code_threshold, kmeans_init=kmeans_init
            )
            for _ in range(num_levels)
        )

    def forward(self, x_BTD: Tensor, valid_BT: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, T, D]` -> quantized `[B, T, D]`, codes `[B, T, Q]` int64, commitment losses `[Q]` (already weighted).

        Frames where `valid_BT` is False get codes too, but take part in neither loss nor codebook update.
        """
        residual_BTC = self.code_space(x_BTD)
        quantized_BTC = torch.zeros_like(residual_BTC)
        codes: list[Tensor] = []
        losses: list[Tensor] = []
        for codebook in self.levels:
            code_vectors_BTC, codes_BT = self._quantize_level(codebook, residual_BTC, valid_BT)
            losses.append(self.commitment * _mean_square(code_vectors_BTC, residual_BTC, valid_BT))
            level_BTC = rotate_to(residual_BTC, code_vectors_BTC) if residual_BTC.requires_grad else code_vectors_BTC
            quantized_BTC = quantized_BTC + level_BTC
            residual_BTC = residual_BTC - level_BTC.detach()
            codes.append(codes_BT)
        return self.project_out(quantized_BTC), torch.stack(codes, dim=-1), torch.stack(losses)

    @property
    def levels(self) -> list[Codebook]:
        """The codebooks in the order in which they quantize."""
        return cast(list[Codebook], list(self.codebooks))

    @property
    def is_placed(self) -> bool:
        """Whether all codes have been placed by k-means, or came with weights."""
        return all(bool(codebook.initialized) for codebook in self.levels)

    @torch.no_grad()
    def place(self, x_ND: Tensor) -> None:
        """Start the codebooks from the frames `[N, D]` of all passes of a held step (`Codebook.hold`), with the draws that one pass
        over all of them would make."""
        residual_NC = self.code_space(x_ND)
        for codebook in self.levels:
            codebook.start(residual_NC)
            codes_N = codebook.search(residual_NC)
            codebook.foretell(residual_NC, codes_N)
            residual_NC = residual_NC - rotate_to(residual_NC, codebook.lookup(codes_N))

    def code_space(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, C]`, what the levels add up to."""
        x_BTC: Tensor = self.project_in(x_BTD)
        return layer_norm(x_BTC, x_BTC.shape[-1:]) if self.normalizes else x_BTC

    def encode_indices(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> codes `[B, T, Q]` int64; never changes a buffer, whatever the mode."""
        with torch.no_grad():
            residual_BTC = self.code_space(x_BTD)
            codes: list[Tensor] = []
            for codebook in self.levels:
                codes_BT = codebook.search(residual_BTC.flatten(0, 1)).view(residual_BTC.shape[:2])
                residual_BTC = residual_BTC - codebook.lookup(codes_BT)
                codes.append(codes_BT)
            return torch.stack(codes, dim=-1)

    def with_codes(self, x_BTD: Tensor, codes_BTQ: Tensor, valid_BT: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantized `[B, T, D]` and commitment losses `[Q]` with codes that were chosen before: the gradient of `forward`
        without its search, and never a codebook update.
        """
        residual_BTC = self.code_space(x_BTD)
        quantized_BTC = torch.zeros_like(residual_BTC)
        losses: list[Tensor] = []
        for level, codebook in enumerate(self.levels):
            code_vectors_BTC = codebook.lookup(codes_BTQ[..., level])
            losses.append(self.commitment * _mean_square(code_vectors_BTC, residual_BTC, valid_BT))
            quantized_BTC = quantized_BTC + rotate_to(residual_BTC, code_vectors_BTC)
            residual_BTC = residual_BTC - code_vectors_BTC
        return self.project_out(quantized_BTC), torch.stack(losses)

    def decode(self, codes_BTQ: Tensor) -> Tensor:
        """`[B, T, Q]` int64 -> `[B, T, D]`, the features the codes stand for."""
        vectors = [codebook.lookup(codes_BTQ[..., level]) for level, codebook in enumerate(self.levels)]
        features_BTD: Tensor = self.project_out(torch.stack(vectors).sum(dim=0))
        return features_BTD

    def freeze_codebooks(self) -> None:
        """Stop the moving averages for good, also in `train()`; the projections still learn."""
        for codebook in self.levels:
            codebook.frozen = True

    def freeze(self) -> None:
        """Stop everything: no gradient, no buffer change, also in `train()`."""
        self.freeze_codebooks()
        self.requires_grad_(False)

    def _quantize_level(
        self, codebook: Codebook, residual_BTC: Tensor, valid_BT: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Code vectors and codes of one level; the codebook moves only afterwards."""
        inputs_ND = residual_BTC.detach().flatten(0, 1)
        valid_N = None if valid_BT is None else valid_BT.flatten()
        if self.training:
            codebook.start(inputs_ND if valid_N is None else inputs_ND[valid_N])
        codes_N = codebook.search(inputs_ND)
        code_vectors_BTC = codebook.lookup(codes_N).view_as(residual_BTC).to(residual_BTC.dtype)
        if self.training:
            if valid_N is None:
                codebook.update(inputs_ND, codes_N)
            else:
                codebook.update(inputs_ND[valid_N], codes_N[valid_N])
        return code_vectors_BTC, codes_N.view(residual_BTC.shape[:2])


def rotate_to(source: Tensor, target: Tensor) -> Tensor:
    """Turn and stretch `source` onto `target`: the value of `target`, the gradient of a fixed linear map of `source`.

    `[..., C]`, `[..., C]` -> `[..., C]`. Unlike straight-through, angles between gradient and code survive.
    """
    with torch.no_grad():
        source_norm = source.norm(dim=-1, keepdim=True).clamp(min=SMALLEST_NORM)
        target_norm = target.norm(dim=-1, keepdim=True).clamp(min=SMALLEST_NORM)
        from_direction = source / source_norm
        to_direction = target / target_norm
        between = normalize(from_direction + to_direction, dim=-1, eps=SMALLEST_NORM)
        stretch = target_norm / source_norm
    reflected = source - 2 * (source * between).sum(dim=-1, keepdim=True) * between
    turned = reflected + 2 * (source * from_direction).sum(dim=-1, keepdim=True) * to_direction
    rotated: Tensor = turned * stretch
    return rotated


def _mean_square(target_BTC: Tensor, x_BTC: Tensor, valid_BT: Tensor | None) -> Tensor:
    if valid_BT is None:
        return mse_loss(x_BTC, target_BTC)
    weight_BT1 = valid_BT[..., None].to(x_BTC.dtype)
    count = (weight_BT1.sum() * x_BTC.shape[-1]).clamp(min=1)
    return ((x_BTC - target_BTC).square() * weight_BT1).sum() / count
