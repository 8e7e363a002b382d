"""CTC head: the transcript that reasoning frames spell, byte by byte (Graves et al. 2006).

Reads    vectors of the reasoning codes `[B, R, D]` (5 Hz)
Writes   logits `[B, R * slots, 257]` over the 256 bytes of UTF-8 and a blank; or texts

It makes codes text-aligned: a code stands for what is said while it lasts, and that can be read without a language model.
"""

# Shapes: B batch, R reasoning frames (5 Hz), S slots of all frames, D codec width, W head width, V bytes and blank

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from uniaudio.codec.blocks import Blocks

BLANK = 256
DIM, NUM_LAYERS, KERNEL_SIZE, FF_MULTIPLIER = 192, 3, 9, 3


class CtcHead(nn.Module):
    """Each frame is spread over `num_slots` slots, which see their neighbors; each slot names a byte or none."""

    def __init__(self, codec_dim: int, num_slots: int) -> None:
        super().__init__()
        self.num_slots = num_slots
        # Vectors of codes are small, and no loss of theirs asks for more.
        self.norm_in = nn.LayerNorm(codec_dim)
        self.project_in = nn.Linear(codec_dim, num_slots * DIM)
        self.blocks = Blocks(DIM, NUM_LAYERS, KERNEL_SIZE, FF_MULTIPLIER)
        self.norm_out = nn.LayerNorm(DIM)
        self.project_out = nn.Linear(DIM, BLANK + 1)

    def forward(self, reasoning_BRD: Tensor, valid_BR: Tensor | None = None) -> Tensor:
        """Logits `[B, S, V]`; slots of frames where `valid_BR` is False are seen by no other."""
        x_BSW = self.project_in(self.norm_in(reasoning_BRD)).unflatten(-1, (self.num_slots, -1)).flatten(1, 2)
        real_BS1 = 1.0 if valid_BR is None else valid_BR.repeat_interleave(self.num_slots, dim=1)[..., None]
        for block in self.blocks:
            x_BSW = block(x_BSW * real_BS1)
        logits_BSV: Tensor = self.project_out(self.norm_out(x_BSW))
        return logits_BSV

    def loss(self, reasoning_BRD: Tensor, valid_BR: Tensor, texts: Sequence[str]) -> Tensor:
        """Nats a byte of the texts that fit their frames, the mean over their bytes; 0 where none does.

        A text is no longer than its slots, with one more wherever a byte comes twice.
        """
        log_p_SBV: Tensor = self(reasoning_BRD, valid_BR).float().log_softmax(dim=-1).transpose(0, 1)
        num_slots = (valid_BR.sum(dim=1) * self.num_slots).tolist()
        spelled = [_if_fits(text.encode(), slots) for text, slots in zip(texts, num_slots, strict=True)]
        rows = [row for row, one in enumerate(spelled) if one]
        if not rows:
            return log_p_SBV.sum() * 0
        device = reasoning_BRD.device
        nats_B = ctc_loss(
            log_p_SBV[:, rows],
            torch.tensor([byte for row in rows for byte in spelled[row]], device=device),
            torch.tensor([int(num_slots[row]) for row in rows]),
            torch.tensor([len(spelled[row]) for row in rows]),
            blank=BLANK,
            reduction="none",
        )
        return nats_B.sum() / sum(len(spelled[row]) for row in rows)

    def num_targets(self, texts: Sequence[str], num_frames: Sequence[int]) -> int:
        """Bytes that `loss` takes the mean over, where each text has so many reasoning frames."""
        pairs = zip(texts, num_frames, strict=True)
        return sum(len(_if_fits(text.encode(), frames * self.num_slots)) for text, frames in pairs)

    def fits(self, text: str, num_frames: int) -> bool:
        """Whether the slots of `num_frames` reasoning frames are enough for the text."""
        return bool(_if_fits(text.encode(), num_frames * self.num_slots))

    @torch.no_grad()
    def texts(self, reasoning_BRD: Tensor, valid_BR: Tensor | None = None) -> list[str]:
        """The likeliest byte of every slot, repetitions and blanks left out; bytes that are no UTF-8 are replaced."""
        valid_BR = torch.ones(reasoning_BRD.shape[:2], dtype=torch.bool) if valid_BR is None else valid_BR
        best_BS = self(reasoning_BRD, valid_BR.to(reasoning_BRD.device)).argmax(dim=-1)
        lengths = (valid_BR.sum(dim=1) * self.num_slots).tolist()
        return [_collapsed(row[: int(length)]) for row, length in zip(best_BS.tolist(), lengths, strict=True)]


def _if_fits(spelled: bytes, num_slots: float) -> bytes:
    """The bytes, or none where the slots are too few for them."""
    repeats = sum(first == second for first, second in zip(spelled, spelled[1:], strict=False))
    return spelled if len(spelled) + repeats <= num_slots else b""


def _collapsed(best: Sequence[int]) -> str:
    kept = [one for before, one in zip([BLANK, *best], best, strict=False) if one not in (before, BLANK)]
    return bytes(kept).decode("utf-8", errors="replace")
