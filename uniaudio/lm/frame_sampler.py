"""Sampling one audio frame a row: 8 steps of the local decoder, each code fed back into the next.

Shapes: N rows, D width, C depth width, Q codebooks, V ids of one stream.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from uniaudio.lm.grammar import Grammar
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.sampling import Sampling, guide, sample


class FrameSampler:
    """Draws legal frames of either kind."""

    def __init__(self, model: UniAudioLM, grammar: Grammar, sampling: Sampling) -> None:
        self.model, self.sampling = model, sampling
        self.kinds = {kind: index for index, kind in enumerate(grammar.frames)}
        device = model.device
        masks = [[grammar.code_mask(kind, device, with_end=end) for kind in self.kinds] for end in (False, True)]
        self.legal_2KV = torch.stack([torch.stack(row) for row in masks])
        self.end_K = torch.tensor([grammar.frames[kind].end for kind in self.kinds], device=device)

    def sample(
        self, hidden_ND: Tensor, kinds: Sequence[str], may_end: Sequence[bool], uniforms_NQ: Tensor
    ) -> list[list[int]]:
        """One frame a row, 8 combined ids; with guidance `hidden_ND` holds the blanked twins behind the rows."""
        device = hidden_ND.device
        kind_N = torch.tensor([self.kinds[kind] for kind in kinds], device=device)
        may_end_N = torch.tensor(list(may_end), device=device).long()
        first_NV, rest_NV = self.legal_2KV[may_end_N, kind_N], self.legal_2KV[0, kind_N]
        end_N = self.end_K[kind_N]
        uniforms_NQ = uniforms_NQ.to(device)
        codes: list[Tensor] = []
        for codebook, logits_NV in self._logits(hidden_ND, codes):
            legal_NV = rest_NV if codebook else first_NV
            ids_N = sample(logits_NV.masked_fill(~legal_NV, -torch.inf), self.sampling, uniforms_NQ[:, codebook])
            codes.append(torch.where(codes[0] == end_N, end_N, ids_N) if codebook else ids_N)
        return torch.stack(codes, dim=1).tolist()

    def _logits(self, hidden_ND: Tensor, codes: list[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """Codebook and its logits `[N, V]`, in turn; the caller appends the ids to `codes` before it asks for more."""
        cache = self.model.local_decoder.allocate_cache(len(hidden_ND), hidden_ND)
        num_copies = 2 if self.sampling.is_guided else 1
        for codebook in range(self.model.config.num_codebooks):
            if codebook:
                hidden_ND = self.model.embed_code(codes[-1].repeat(num_copies), codebook - 1)
            out_NC = self.model.local_decoder.step(self.model.projection(hidden_ND), codebook, cache)
            logits_NV = self.model.audio_head.codebook(out_NC, codebook)
            yield codebook, guide(logits_NV, self.sampling.cfg_scale) if self.sampling.is_guided else logits_NV
