"""Sampling one audio frame a row: 8 steps of the local decoder, each code fed back into the next.

`draw` is a function of tensors alone: no shape in it depends on a value, nothing is copied to the host and nothing is made
from Python numbers that change, so that `torch.compile` gives one graph without breaks and a CUDA graph can hold a frame.

Shapes: N rows, M = N and the twins of those with guidance, D width, C depth width, Q codebooks, K kinds of frames, V ids of one stream.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from uniaudio.lm.blocks import Attend
from uniaudio.lm.cache import KVCache
from uniaudio.lm.engine import DecodingEngine
from uniaudio.lm.grammar import Grammar
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.sampling import Sampling, sample
from uniaudio.lm.ways import Ways


class FrameSampler:
    """Draws legal frames of either kind, for about `num_rows` rows of the model at once."""

    def __init__(self, model: UniAudioLM, grammar: Grammar, num_rows: int = 1) -> None:
        self.model = model
        self.kinds = {kind: index for index, kind in enumerate(grammar.frames)}
        device = model.device
        masks = [[grammar.code_mask(kind, device, with_end=end) for kind in self.kinds] for end in (False, True)]
        self.illegal_2KV = ~torch.stack([torch.stack(row) for row in masks])
        engine = DecodingEngine(model, num_rows)
        self.steps = engine.steps(model.local_decoder.stack, may_copy=True)
        self.places = [
            self.steps.prepare(Attend(turn, slots=codebook, num_keys=codebook + 1))
            for codebook, turn in enumerate(model.local_decoder.rotations(device))
        ]
        self.projection = engine.matrix(model.projection, model.projection.weight, may_copy=True)
        self.heads = [
            engine.matrix(model.audio_head, head_CV.t(), may_copy=engine.may_copy, part=codebook)
            for codebook, head_CV in enumerate(model.audio_head.weight)
        ]
        self.end_K = torch.tensor([grammar.frames[kind].end for kind in self.kinds], device=device)

    def sample(
        self,
        hidden_MD: Tensor,
        ways: Ways,
        kinds: Sequence[str],
        may_end: Sequence[bool],
        uniforms_NQ: Tensor,
        recent_NQV: Tensor | None = None,
    ) -> list[list[int]]:
        """One frame a row, 8 combined ids; `hidden_MD` holds the blanked twins behind the rows."""
        device = hidden_MD.device
        kind_N = torch.tensor([self.kinds[kind] for kind in kinds], device=device)
        may_end_N = torch.tensor(list(may_end), device=device)
        codes_NQ: Tensor = self.draw(hidden_MD, ways, kind_N, may_end_N, uniforms_NQ.to(device), recent_NQV)
        codes: list[list[int]] = codes_NQ.tolist()
        return codes

    def draw(
        self,
        hidden_MD: Tensor,
        ways: Ways,
        kind_N: Tensor,
        may_end_N: Tensor,
        uniforms_NQ: Tensor,
        recent_NQV: Tensor | None,
    ) -> Tensor:
        """The codes `[N, Q]` int64 of frames of kind `kind_N` (0, 1), which may end where `may_end_N` (bool)."""
        first_NV, rest_NV = self.illegal_2KV[may_end_N.long(), kind_N], self.illegal_2KV[0, kind_N]
        end_N = self.end_K[kind_N]
        cache = self.model.local_decoder.allocate_cache(len(hidden_MD), hidden_MD)
        codes: list[Tensor] = []
        for codebook in range(self.model.config.num_codebooks):
            if codebook:
                hidden_MD = self.model.embed_code(ways.with_twins(codes[-1]), codebook - 1)
            logits_NV = ways.guide(self._logits(hidden_MD, codebook, cache))
            if recent_NQV is not None:
                logits_NV = ways.penalize(logits_NV, recent_NQV[:, codebook])
            logits_NV = logits_NV.masked_fill(rest_NV if codebook else first_NV, -torch.inf)
            ids_N = self._choose(logits_NV, ways, codebook, kind_N, uniforms_NQ[:, codebook])
            codes.append(torch.where(codes[0] == end_N, end_N, ids_N) if codebook else ids_N)
        return torch.stack(codes, dim=1)

    def _logits(self, hidden_MD: Tensor, codebook: int, cache: KVCache) -> Tensor:
        """Logits `[M, V]` of one codebook."""
        out_MC = self.steps.step(self.projection(hidden_MD), self.places[codebook], cache)
        return self.heads[codebook](out_MC)

    def _choose(self, logits_NV: Tensor, ways: Ways, codebook: int, kind_N: Tensor, uniform_N: Tensor) -> Tensor:
        """One id a row, drawn as its kind says; where kinds differ, both ways are drawn and one is taken."""

        def choose(sampling: Sampling, logits_NV: Tensor, kind_N: Tensor, uniform_N: Tensor) -> Tensor:
            draws = [sampling.of(kind, codebook) for kind in self.kinds]
            ids_N = sample(logits_NV, draws[0], uniform_N)
            for index, draw in enumerate(draws[1:], start=1):
                if draw != draws[0]:
                    ids_N = torch.where(kind_N == index, sample(logits_NV, draw, uniform_N), ids_N)
            return ids_N

        return ways.choose(choose, logits_NV, kind_N, uniform_N)
