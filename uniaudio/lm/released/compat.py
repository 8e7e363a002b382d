"""Decoding exactly as the authors' inference does: same arithmetic, same random numbers, same mistakes.

It runs both heads at every step (their draws advance one shared random generator), lets either state emit any id
(only reconstruction forbids ids below its offset), ends a segment when all 8 streams agree, and drops the first frame
of a segment unseen. `generate` is the decoding to use; this one answers the question whether weights were read
correctly.

Shapes: B rows (2 with guidance: given, blanked), S positions, V ids.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio.lm.config import TEXT_COLUMN
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.sampling import guide

MAX_STEPS = 500
"""The authors' cap on steps of one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompatSampling:
    temperature: float = 0.9
    top_k: int = 50
    cfg_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class CompatFrame:
    """What one step gives: the sampled ids and the logits behind them."""

    text_id_B: Tensor
    codes_B8: Tensor
    text_logits_BV: Tensor
    audio_logits_B8V: Tensor


Sampler = Callable[[Tensor, CompatSampling], Tensor]


def sample_compat(logits_BV: Tensor, sampling: CompatSampling) -> Tensor:
    """Top-k with ties kept, then the exponential race on the global generator; int64 `[B]`."""
    logits_BV = logits_BV / sampling.temperature
    kth_B1 = logits_BV.topk(min(sampling.top_k, logits_BV.shape[-1]), dim=-1).values[:, -1:]
    shares_BV = logits_BV.masked_fill(logits_BV < kth_B1, -torch.inf).softmax(dim=-1)
    return (shares_BV / torch.empty_like(shares_BV).exponential_(1)).argmax(dim=-1)


class CompatDecoder:
    """Prefill and steps of the authors' loop for one prompt (and its blanked twin)."""

    def __init__(self, model: UniAudioLM, sampling: CompatSampling, sampler: Sampler = sample_compat) -> None:
        self.model, self.sampling, self.sampler = model, sampling, sampler

    @torch.no_grad()
    def prefill(self, ids_BS9: Tensor, is_audio_BS: Tensor, is_text_BS: Tensor, max_steps: int = MAX_STEPS) -> None:
        """Reads all positions but the last, which is the first step's input."""
        num_rows, self.slot = ids_BS9.shape[0], ids_BS9.shape[1] - 1
        self.cache = self.model.allocate_cache(num_rows, ids_BS9.shape[1] + max_steps)
        if self.slot:
            prefix = slice(0, self.slot)
            self.model(ids_BS9[:, prefix], is_audio_BS[:, prefix], is_text_BS[:, prefix], cache=self.cache)

    @torch.no_grad()
    def step(self, ids_B19: Tensor, is_audio_B1: Tensor, *, forbid_below: int = 0) -> CompatFrame:
        """Feeds one position, draws a text id and then 8 codes."""
        hidden_B1D = self.model(ids_B19, is_audio_B1, ~is_audio_B1, positions=self.slot, cache=self.cache)
        self.slot += 1
        hidden_BD = hidden_B1D[:, 0]
        text_BV = self._guided(self.model.text_logits(hidden_BD))
        text_B = self._draw(text_BV, len(hidden_BD))
        cache = self.model.local_decoder.allocate_cache(len(hidden_BD), hidden_BD)
        codes, logits, x_BD = [], [], hidden_BD
        for codebook in range(self.model.config.num_codebooks):
            out_BC = self.model.local_decoder.step(self.model.projection(x_BD), codebook, cache)
            logits_BV = self._guided(self.model.audio_head.codebook(out_BC, codebook))
            logits.append(logits_BV)
            allowed_BV = logits_BV.clone()
            allowed_BV[:, :forbid_below] = -torch.inf
            codes.append(self._draw(allowed_BV, len(hidden_BD)))
            x_BD = self.model.embed_code(codes[-1], codebook)
        return CompatFrame(text_B, torch.stack(codes, dim=1), text_BV, torch.stack(logits, dim=1))

    def _guided(self, logits_BV: Tensor) -> Tensor:
        return guide(logits_BV, self.sampling.cfg_scale) if self.sampling.cfg_scale > 1 else logits_BV

    def _draw(self, logits_BV: Tensor, num_rows: int) -> Tensor:
        ids_B = self.sampler(logits_BV, self.sampling)
        return ids_B.expand(num_rows) if len(ids_B) < num_rows else ids_B


@dataclass(frozen=True, kw_only=True, slots=True)
class CompatIds:
    """The special ids the authors' loop looks at; reconstruction ids without their offset."""

    reasoning_end: int
    reconstruction_end: int
    reconstruction_offset: int
    text_end: int


def split_frames_compat(frames: list[Tensor], ids: CompatIds) -> tuple[Tensor, Tensor, bool]:
    """The authors' state machine over frames `[8]` -> reasoning `[8, R]`, reconstruction `[8, T]`, end was met."""
    reasoning: list[Tensor] = []
    reconstruction: list[Tensor] = []
    recorded, offset, ended = reasoning, 0, False
    for frame in frames:
        if bool((frame == ids.reconstruction_end + ids.reconstruction_offset).all()):
            ended = True
            break
        if recorded is reasoning and bool((frame == ids.reasoning_end).all()):
            recorded, offset = reconstruction, ids.reconstruction_offset
        else:
            recorded.append(frame - offset)
    return _without_first(reasoning), _without_first(reconstruction), ended


def generate_audio_compat(
    decoder: CompatDecoder, ids_BS9: Tensor, is_audio_BS: Tensor, ids: CompatIds, max_steps: int = MAX_STEPS
) -> tuple[Tensor, Tensor]:
    """Reasoning and reconstruction codes, int32 `[8, n]`, of one prompt."""
    decoder.prefill(ids_BS9, is_audio_BS, ~is_audio_BS, max_steps)
    fed_B19, is_audio_B1 = ids_BS9[:, -1:], is_audio_BS[:, -1:]
    frames: list[Tensor] = []
    forbid_below = 0
    for _ in range(max_steps):
        sampled = decoder.step(fed_B19, is_audio_B1, forbid_below=forbid_below)
        frames.append(sampled.codes_B8[0])
        if bool((frames[-1] == ids.reconstruction_end + ids.reconstruction_offset).all()):
            break
        if bool((frames[-1] == ids.reasoning_end).all()):
            forbid_below = ids.reconstruction_offset
        fed_B19 = torch.cat([sampled.codes_B8, sampled.text_id_B[:, None]], dim=1)[:, None]
        is_audio_B1 = torch.ones_like(is_audio_B1)
    reasoning_8R, reconstruction_8T, _ = split_frames_compat(frames, ids)
    return reasoning_8R, reconstruction_8T


def generate_text_compat(
    decoder: CompatDecoder, ids_BS9: Tensor, is_audio_BS: Tensor, ids: CompatIds, max_steps: int = MAX_STEPS
) -> list[int]:
    """Text ids before the end id, of one prompt."""
    decoder.prefill(ids_BS9, is_audio_BS, ~is_audio_BS, max_steps)
    fed_B19, is_audio_B1 = ids_BS9[:, -1:], is_audio_BS[:, -1:]
    text_ids: list[int] = []
    for _ in range(max_steps):
        sampled = decoder.step(fed_B19, is_audio_B1)
        text_id = int(sampled.text_id_B[0])
        if text_id == ids.text_end:
            break
        text_ids.append(text_id)
        fed_B19 = torch.zeros_like(ids_BS9[:, :1])
        fed_B19[..., TEXT_COLUMN] = sampled.text_id_B[:, None]
        is_audio_B1 = torch.zeros_like(is_audio_B1)
    return text_ids


def _without_first(frames: list[Tensor]) -> Tensor:
    if len(frames) < 2:
        return torch.zeros(TEXT_COLUMN, 0, dtype=torch.int32)
    return torch.stack(frames[1:], dim=1).to(torch.int32)
