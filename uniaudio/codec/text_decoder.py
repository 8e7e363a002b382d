"""A small causal text decoder that reads reasoning frames as soft tokens: the teacher of phase `reasoning`.

Reads    reasoning vectors `[B, R, D]` and a text each
Writes   the cross-entropy of the text's UTF-8 bytes, nats a byte
It is thrown away after the phase; the branch keeps what it had to say.
"""

# Shapes: B batch, R reasoning frames, S text positions, P positions (R + S), D codec width, W decoder width

from collections.abc import Sequence

import torch
from torch import Tensor, nn

BEGIN, END, PAD = 256, 257, 258
NUM_IDS = 259
IGNORED = -100
NUM_HEADS = 4


class TextDecoder(nn.Module):
    """Bytes after soft tokens, through pre-norm transformer layers."""

    def __init__(self, codec_dim: int, *, num_layers: int, max_bytes: int, max_frames: int) -> None:
        super().__init__()
        dim = -(-codec_dim // NUM_HEADS) * NUM_HEADS
        self.max_bytes = max_bytes
        self.project = nn.Linear(codec_dim, dim)
        self.embedding = nn.Embedding(NUM_IDS, dim)
        self.audio_positions = nn.Embedding(max_frames, dim)
        self.text_positions = nn.Embedding(max_bytes + 1, dim)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, NUM_HEADS, 4 * dim, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, NUM_IDS)

    def forward(self, reasoning_BRD: Tensor, valid_BR: Tensor, texts: Sequence[str]) -> Tensor:
        """Mean cross-entropy over the bytes of all texts and their ends."""
        inputs_BS, targets_BS = text_ids(texts, self.max_bytes, reasoning_BRD.device)
        num_frames, num_text = reasoning_BRD.shape[1], inputs_BS.shape[1]
        soft_BRW = self.project(reasoning_BRD) + self.audio_positions.weight[:num_frames]
        text_BSW = self.embedding(inputs_BS) + self.text_positions.weight[:num_text]
        x_BPW = torch.cat([soft_BRW, text_BSW], dim=1)
        num_positions = num_frames + num_text
        # True: may not be attended. Frames see each other, text sees frames and what came before.
        hidden_PP = torch.ones(num_positions, num_positions, dtype=torch.bool, device=x_BPW.device).triu(1)
        hidden_PP[:num_frames, :num_frames] = False
        padding_BP = torch.cat([~valid_BR, inputs_BS == PAD], dim=1)
        for layer in self.layers:
            x_BPW = layer(x_BPW, src_mask=hidden_PP, src_key_padding_mask=padding_BP)
        logits_BSV = self.out(self.norm(x_BPW[:, num_frames:]))
        return nn.functional.cross_entropy(logits_BSV.flatten(0, 1), targets_BS.flatten(), ignore_index=IGNORED)


def text_ids(texts: Sequence[str], max_bytes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets `[B, S]` int64: begin + bytes, and bytes + end; texts are cut to `max_bytes`."""
    coded = [list(text.encode())[:max_bytes] for text in texts]
    width = 1 + max(len(ids) for ids in coded)
    inputs = [[BEGIN, *ids] + [PAD] * (width - 1 - len(ids)) for ids in coded]
    targets = [[*ids, END] + [IGNORED] * (width - 1 - len(ids)) for ids in coded]
    return torch.tensor(inputs, device=device), torch.tensor(targets, device=device)
