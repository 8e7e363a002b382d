"""A small causal text decoder that reads reasoning frames as soft tokens: what phases `reasoning` and `grpo` train the branch
with where no language model is given, and what says afterwards what the codes tell (the paper's analysis).

Reads    reasoning vectors `[B, R, D]`, a question (may be empty) and an answer each
Writes   the cross-entropy of the answer's UTF-8 bytes, nats a byte; answers of its own
"""

# Shapes: B batch, R reasoning frames, S text positions, P positions (R + S), D codec width, W decoder width,
#         H heads, E head width

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, relu, scaled_dot_product_attention

from uniaudio.codec.recomputation import recomputed
from uniaudio.codec.text_policy import (
    IGNORED,
    Likelihood,
    TextPolicy,
    answer_likelihood,
    append_token,
    draw_tokens,
)

GREEDY = 1e-4
"""Temperature at which the likeliest token alone is drawn."""
BEGIN, END, PAD = 256, 257, 258
NUM_IDS = 259
NUM_HEADS = 4
WIDTH_STEP = 16
"""Texts are padded to multiples of it in training: the first product of a shape costs oneDNN as much as several later ones."""
QUESTIONS = {
    "asr": "What is said?",
    "caption": "Describe the audio.",
    "qa": "Is this speech, sound or music?",
    "analysis": "Analyze the audio.",
}
"""Task -> what is asked about a clip."""
MAX_TEXT_BYTES = 160
"""Bytes of an answer. Longer answers are cut."""
MAX_FRAMES = 150
"""Reasoning frames (30 s) that the decoder reads at once."""


class TextDecoder(TextPolicy):
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

    @torch.no_grad()
    def answers(self, reasoning_RD: Tensor, questions: Sequence[str]) -> list[str]:
        """The likeliest answer, byte by byte, to each question about one clip of at most `MAX_FRAMES` frames."""
        reasoning_BRD = reasoning_RD.expand(len(questions), -1, -1)
        valid_BR = torch.ones(reasoning_BRD.shape[:2], dtype=torch.bool, device=reasoning_RD.device)
        # Of a temperature near zero any draw is the likeliest one.
        halves_BS = torch.full((len(questions), self.max_bytes + 1), 0.5)
        return [self.text(ids) for ids in self.sample(reasoning_BRD, valid_BR, questions, halves_BS, GREEDY)]

    def forward(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, texts: Sequence[str], questions: Sequence[str] | None = None
    ) -> Tensor:
        answers = [self.token_ids(text) for text in texts]
        inputs_BS, targets_BS = self._pack(answers, questions or [""] * len(texts), reasoning_BRD.device)
        logits_BSV = self._logits(reasoning_BRD, valid_BR, inputs_BS)
        return cross_entropy(logits_BSV.flatten(0, 1), targets_BS.flatten(), ignore_index=IGNORED)

    def likelihood(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, questions: Sequence[str], answers: Sequence[Sequence[int]]
    ) -> Likelihood:
        inputs_BS, targets_BS = self._pack(answers, questions, reasoning_BRD.device)
        return answer_likelihood(self._logits(reasoning_BRD, valid_BR, inputs_BS), targets_BS)

    def num_targets(self, texts: Sequence[str], questions: Sequence[str]) -> int:
        pairs = zip(texts, questions, strict=True)
        return sum(
            min(len(self.token_ids(text)), self.max_bytes + 1 - len(question.encode())) for text, question in pairs
        )

    def token_ids(self, text: str) -> list[int]:
        """Bytes and the end, cut to `max_bytes`."""
        return [*text.encode()[: self.max_bytes], END]

    def text(self, ids: Sequence[int]) -> str:
        # Bytes that are no UTF-8 are replaced.
        return bytes(one for one in ids if one < BEGIN).decode("utf-8", errors="replace")

    @torch.no_grad()
    def sample(
        self,
        reasoning_BRD: Tensor,
        valid_BR: Tensor,
        questions: Sequence[str],
        uniforms_BS: Tensor,
        temperature: float = 1.0,
    ) -> list[list[int]]:
        cache = _Cache(len(self.layers))
        prefix_BS, lengths_B = self._left_padded(questions, reasoning_BRD.device)
        # Of each row on its own: what its question leaves of the positions.
        limits = [min(uniforms_BS.shape[1], self.max_bytes + 2 - length) for length in lengths_B.tolist()]
        logits_BV = self._prefill(cache, reasoning_BRD, valid_BR, prefix_BS)
        answers: list[list[int]] = [[] for _ in questions]
        for step in range(max(limits)):
            tokens_B = draw_tokens(logits_BV, uniforms_BS[:, step], temperature)
            going = [
                append_token(answer, token, END, limit)
                for answer, token, limit in zip(answers, tokens_B.tolist(), limits, strict=True)
            ]
            if not any(going):
                break
            positions_B = (lengths_B + step).clamp(max=self.max_bytes)
            x_B1W = (self.embedding(tokens_B) + self.text_positions(positions_B))[:, None]
            logits_BV = self._advance(cache, x_B1W, None)[:, -1]
        return answers

    def _logits(self, reasoning_BRD: Tensor, valid_BR: Tensor, inputs_BS: Tensor) -> Tensor:
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
            x_BPW = recomputed(layer, self.recomputation, x_BPW, hidden_PP, padding_BP)
        logits_BPV: Tensor = self.out(self.norm(x_BPW[:, num_frames:]))
        return logits_BPV

    def _pack(
        self, answers: Sequence[Sequence[int]], questions: Sequence[str], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Inputs and targets `[B, S]` int64: question, begin and answer; nothing to be said of the question."""
        inputs, targets = [], []
        for answer, question in zip(answers, questions, strict=True):
            prompt = [*question.encode(), BEGIN]
            ids = list(answer)[: self.max_bytes + 2 - len(prompt)]
            inputs.append([*prompt, *ids[:-1]])
            targets.append([*[IGNORED] * (len(prompt) - 1), *ids])
        longest = max(len(row) for row in inputs)
        width = min(-(-longest // WIDTH_STEP) * WIDTH_STEP, self.max_bytes + 1)
        inputs_BS = [row + [PAD] * (width - len(row)) for row in inputs]
        targets_BS = [row + [IGNORED] * (width - len(row)) for row in targets]
        return torch.tensor(inputs_BS, device=device), torch.tensor(targets_BS, device=device)

    def _left_padded(self, questions: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
        """Question and begin `[B, S]`, and how many each row has."""
        rows = [[*question.encode(), BEGIN] for question in questions]
        width = max(len(row) for row in rows)
        prefix_BS = torch.tensor([[PAD] * (width - len(row)) + row for row in rows], device=device)
        return prefix_BS, torch.tensor([len(row) for row in rows], device=device)

    def _prefill(self, cache: "_Cache", reasoning_BRD: Tensor, valid_BR: Tensor, prefix_BS: Tensor) -> Tensor:
        """Fill the cache with frames and prefix; logits `[B, V]` of the first token."""
        num_frames, num_text = reasoning_BRD.shape[1], prefix_BS.shape[1]
        real_BS = prefix_BS != PAD
        positions_BS = (torch.arange(num_text, device=prefix_BS.device) - (~real_BS).sum(1, keepdim=True)).clamp(min=0)
        soft_BRW = self.project(reasoning_BRD) + self.audio_positions.weight[:num_frames]
        x_BPW = torch.cat([soft_BRW, self.embedding(prefix_BS) + self.text_positions(positions_BS)], dim=1)
        num_positions = num_frames + num_text
        seen_PP = torch.ones(num_positions, num_positions, dtype=torch.bool, device=x_BPW.device).tril()
        seen_PP[:num_frames, :num_frames] = True
        cache.real_BP = torch.cat([valid_BR, real_BS], dim=1)
        return self._advance(cache, x_BPW, seen_PP & cache.real_BP[:, None])[:, -1]

    def _advance(self, cache: "_Cache", x_BPW: Tensor, seen_BPK: Tensor | None) -> Tensor:
        """Positions after those of the cache, through all layers; `seen_BPK` None: a position sees all real ones."""
        if seen_BPK is None:
            cache.real_BP = torch.cat([cache.real_BP, cache.real_BP.new_ones(len(x_BPW), x_BPW.shape[1])], dim=1)
            seen_BPK = cache.real_BP[:, None]
        for index, layer in enumerate(self.layers):
            x_BPW = cache.step(index, layer, x_BPW, seen_BPK)
        logits_BPV: Tensor = self.out(self.norm(x_BPW))
        return logits_BPV


class _Cache:
    """Keys and values of every position so far, a pair a layer."""

    def __init__(self, num_layers: int) -> None:
        self.real_BP = torch.empty(0)
        self._pairs: list[tuple[Tensor, Tensor] | None] = [None] * num_layers

    def step(self, index: int, layer: nn.Module, x_BPW: Tensor, seen_BPK: Tensor) -> Tensor:
        """What `layer` (pre-norm, ReLU) makes of new positions that also see the old ones."""
        attention = layer.self_attn
        projected = linear(layer.norm1(x_BPW), attention.in_proj_weight, attention.in_proj_bias)  # type: ignore[operator, arg-type, union-attr]
        query, key, value = (part.unflatten(-1, (NUM_HEADS, -1)).transpose(1, 2) for part in projected.chunk(3, dim=-1))
        if (pair := self._pairs[index]) is not None:
            key, value = torch.cat([pair[0], key], dim=2), torch.cat([pair[1], value], dim=2)
        self._pairs[index] = (key, value)
        mixed_BHPE = scaled_dot_product_attention(query, key, value, attn_mask=seen_BPK[:, None])
        x_BPW = x_BPW + attention.out_proj(mixed_BHPE.transpose(1, 2).flatten(2))  # type: ignore[operator, union-attr]
        out_BPW: Tensor = x_BPW + layer.linear2(relu(layer.linear1(layer.norm2(x_BPW))))  # type: ignore[operator]
        return out_BPW
