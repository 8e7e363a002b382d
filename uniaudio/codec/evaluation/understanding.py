"""What can be understood from a codec's tokens: a small transformer that hears nothing else, trained on one question.

Reads    clips as streams: codes `[T, Q]`, or states `[T, D]` of an encoder, each with the frames a second that it has
Writes   what the trained network says of other clips: a text (CTC over characters) or one of some labels

    heard = [Heard(streams={"reasoning": Stream(codes_RQ, sizes=(64,) * 8, frame_rate=5)}, answer="let's go"), …]
    network = train_understanding(heard, TEXT, steps=300)
    network.answers(others)          -> ["lets go", …]

Every stream is brought to 50 steps a second before the transformer, whatever its frame rate, so that tokens and continuous states are heard
by the same network at the same pace; streams of one clip are summed.
"""

# Shapes: B batch, T frames of a stream, S steps (50 a second), Q codebooks, D width of a state, W width, K answers

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

STEPS_A_SECOND = 50
_WIDTH, _LAYERS, _HEADS, _KERNEL = 128, 2, 4, 9
_BATCH = 8
_LEARNING_RATE = 1e-3
_WARMUP_SHARE = 0.1
_MAX_NORM = 1.0
_BLANK = 0

Kind = Literal["text", "label"]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One view of a clip."""

    values: np.ndarray
    """`[T, Q]` integers, or `[T, D]` float."""
    frame_rate: float
    """Frames of `values` a second (Hz). 50 is a multiple of it."""
    sizes: tuple[int, ...] = ()
    """Entries of each of the Q codebooks; empty for continuous states."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One clip, and what is to be said of it."""

    streams: dict[str, Stream]
    answer: str


class _Embedding(nn.Module):
    """A stream at 50 steps a second."""

    def __init__(self, like: Stream) -> None:
        super().__init__()
        repeats = STEPS_A_SECOND / like.frame_rate
        if repeats != round(repeats) or repeats < 1:
            raise UsageError(f"`frame_rate` must divide {STEPS_A_SECOND} Hz, but is {like.frame_rate:g}.")
        self.repeats, self.is_codes = round(repeats), bool(like.sizes)
        if like.sizes:
            self.tables = nn.ModuleList(nn.Embedding(size, _WIDTH) for size in like.sizes)
        else:
            dim = like.values.shape[1]
            self.states = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _WIDTH))
        self.spread = nn.Linear(_WIDTH, _WIDTH * self.repeats)

    def forward(self, values_BTX: Tensor) -> Tensor:
        """`[B, T, Q]` int64 or `[B, T, D]` float32 -> `[B, S, W]`."""
        if self.is_codes:
            tables = enumerate(self.tables)
            embedded_BTW = torch.stack([table(values_BTX[..., place]) for place, table in tables]).sum(dim=0)
        else:
            embedded_BTW = self.states(values_BTX)
        spread_BSW: Tensor = self.spread(embedded_BTW).unflatten(2, (self.repeats, _WIDTH)).flatten(1, 2)
        return spread_BSW


class Understanding(nn.Module):
    """Embeddings of the streams, a transformer, one linear head."""

    def __init__(self, like: Heard, kind: Kind, answers: tuple[str, ...]) -> None:
        """`answers`: the characters of texts, or the labels."""
        super().__init__()
        self.kind, self.known = kind, answers
        self.embeddings = nn.ModuleDict({name: _Embedding(stream) for name, stream in like.streams.items()})
        # What stands before and behind a step, instead of its number: clips are of any length.
        self.neighbours = nn.Conv1d(_WIDTH, _WIDTH, _KERNEL, padding=_KERNEL // 2, groups=_WIDTH)
        layer = nn.TransformerEncoderLayer(
            _WIDTH, _HEADS, 4 * _WIDTH, dropout=0.1, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, len(answers) + (kind == "text"))

    def forward(self, batch: Sequence[Heard]) -> tuple[Tensor, Tensor]:
        """Scores `[B, S, 1 + K]` of texts (the first is the blank) or `[B, K]` of labels, and steps `[B]` of each clip."""
        lengths = [self._num_steps(clip) for clip in batch]
        longest = max(lengths)
        hidden_BSW = torch.zeros(len(batch), longest, _WIDTH, device=self.head.weight.device)
        for name, embedding in self.embeddings.items():
            embedded_BSW = embedding(self._padded([clip.streams[name] for clip in batch]))[:, :longest]
            hidden_BSW = hidden_BSW + nn.functional.pad(embedded_BSW, (0, 0, 0, longest - embedded_BSW.shape[1]))
        steps_B = torch.tensor(lengths, device=hidden_BSW.device)
        is_padding_BS = torch.arange(longest, device=hidden_BSW.device)[None] >= steps_B[:, None]
        hidden_BSW = hidden_BSW.masked_fill(is_padding_BS[..., None], 0.0)
        hidden_BSW = hidden_BSW + self.neighbours(hidden_BSW.transpose(1, 2)).transpose(1, 2)
        hidden_BSW = self.norm(self.layers(hidden_BSW, src_key_padding_mask=is_padding_BS))
        if self.kind == "text":
            return self.head(hidden_BSW), steps_B
        kept_BSW = hidden_BSW.masked_fill(is_padding_BS[..., None], 0.0)
        return self.head(kept_BSW.sum(dim=1) / steps_B[:, None]), steps_B

    def _num_steps(self, clip: Heard) -> int:
        """Number of steps of the shortest stream of the clip."""
        return min(len(clip.streams[name].values) * self._repeats(name) for name in self.embeddings)

    def _repeats(self, name: str) -> int:
        embedding = self.embeddings[name]
        assert isinstance(embedding, _Embedding)
        return embedding.repeats

    def _padded(self, streams: Sequence[Stream]) -> Tensor:
        dtype = torch.int64 if streams[0].sizes else torch.float32
        tensors = [torch.as_tensor(np.ascontiguousarray(stream.values), dtype=dtype) for stream in streams]
        return nn.utils.rnn.pad_sequence(tensors, batch_first=True).to(self.head.weight.device)

    def loss(self, batch: Sequence[Heard]) -> Tensor:
        """Nats a clip: of CTC a character, of labels a clip."""
        scores, steps_B = self(batch)
        if self.kind == "label":
            labels = [self.known.index(clip.answer) for clip in batch]
            return nn.functional.cross_entropy(scores, torch.tensor(labels, device=scores.device))
        texts = [[self.known.index(one) + 1 for one in clip.answer] for clip in batch]
        targets = torch.tensor([one for text in texts for one in text], device=scores.device)
        sizes = torch.tensor([len(text) for text in texts], device=scores.device)
        log_SBK = scores.log_softmax(dim=-1).transpose(0, 1)
        return nn.functional.ctc_loss(log_SBK, targets, steps_B, sizes, blank=_BLANK, zero_infinity=True)

    @torch.inference_mode()
    def answers(self, clips: Sequence[Heard]) -> list[str]:
        """For each clip the likeliest label, or the likeliest character at each step without repetitions and blanks."""
        self.eval()
        texts = []
        for clip in clips:  # one at a time: what a clip is given does not depend on its neighbours
            scores = self([clip])[0][0]
            if self.kind == "label":
                texts.append(self.known[int(scores.argmax())])
                continue
            best = torch.unique_consecutive(scores.argmax(dim=-1)).tolist()
            texts.append("".join(self.known[place - 1] for place in best if place != _BLANK))
        return texts


def train_understanding(
    clips: Sequence[Heard], kind: Kind, *, steps: int, seed: int = 0, device: str = "cpu"
) -> Understanding:
    """A network trained on `clips` for so many optimizer steps of 8 clips; equal arguments give equal weights on one machine."""
    if not clips:
        raise UsageError("`clips` must hold clips to learn from, but is empty.")
    answers = {one for clip in clips for one in (clip.answer if kind == "text" else [clip.answer])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Understanding(clips[0], kind, tuple(sorted(answers))).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=0.01)
        warm = max(1, round(_WARMUP_SHARE * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm), 1.0)
        )
        generator = np.random.default_rng(seed)
        for _ in range(steps):
            places = generator.choice(len(clips), size=min(_BATCH, len(clips)), replace=False)
            optimizer.zero_grad(set_to_none=True)
            network.loss([clips[place] for place in places]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), _MAX_NORM)
            optimizer.step()
            schedule.step()
    return network.eval()
