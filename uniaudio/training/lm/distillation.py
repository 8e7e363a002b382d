"""Semantic distillation: while a stage lasts, a small decoder must find in what the understanding expert says the vectors
that the codec's semantic streams stand for. The decoder is thrown away afterwards.

The paper gives the sum L = L_LM + weight * L_rec and that the decoder goes; target, decoder and weight are ours:

target     of a reasoning frame the vector of its 8 codes, of a reconstruction frame that of its phone and music codes,
           scaled to a mean square of 1; so a decoder that says nothing has a loss of 1
decoder    the codec's semantic decoder at one rate, over each run of frames of one kind; special frames are left out
L_rec      mean squared error over all frames of the step, with or without language-model loss
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from uniaudio.codec.semantic_decoder import SemanticDecoder
from uniaudio.sequence.packing import PADDING_DOCUMENT
from uniaudio.sequence.vocabulary import Vocabulary

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.quantize import ResidualVQ
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.training.lm.data import Batch

# Shapes: B rows, S positions, T frames of a run, Q streams, W codec width, D model width

DECODER = "distillation_decoder"
"""Name that the decoder has in the model while it is there."""
_STRIDES = (1, 1)
_NO_KIND, _REASONING, _RECONSTRUCTION = 0, 1, 2


class CodecTeacher:
    """The vectors that a codec's codes stand for."""

    def __init__(self, codec: "ReasoningCodec", vocabulary: Vocabulary) -> None:
        groups = codec.reconstruction.quantizers
        self._reasoning = codec.reasoning.quantizer.eval().requires_grad_(False)
        self._phone, self._music = (
            cast("ResidualVQ", groups[name]).eval().requires_grad_(False) for name in ("phone", "music")
        )
        self._vocabulary = vocabulary
        self.width = codec.config.dim

    def to(self, device: torch.device) -> None:
        for quantizer in (self._reasoning, self._phone, self._music):
            quantizer.to(device)

    def kinds(self, ids_BS9: Tensor, is_audio_BS: Tensor) -> Tensor:
        """`[B, S]` int64: reasoning code, reconstruction code, or neither."""
        first_BS, offset = ids_BS9[..., 0], self._vocabulary.reconstruction_offset
        reasoning_BS = is_audio_BS & (first_BS < self._vocabulary.reasoning_codes)
        in_range_BS = (first_BS >= offset) & (first_BS < offset + self._vocabulary.reconstruction_codes)
        return reasoning_BS * _REASONING + (is_audio_BS & in_range_BS) * _RECONSTRUCTION

    def vectors(self, ids_TQ: Tensor, kind: int) -> Tensor:
        """Combined ids of a run `[T, Q]` -> `[T, W]` float32 with a mean square of 1."""
        with torch.no_grad():
            if kind == _REASONING:
                vectors_TW = self._reasoning.decode(ids_TQ)
            else:
                codes_TQ = ids_TQ - self._vocabulary.reconstruction_offset
                levels = self._phone.num_levels, self._music.num_levels
                phone_TQ, music_TQ = codes_TQ[:, : sum(levels)].split(levels, dim=1)
                vectors_TW = self._phone.decode(phone_TQ) + self._music.decode(music_TQ)
            scaled_TW: Tensor = normalize(vectors_TW.float(), dim=-1) * self.width**0.5
            return scaled_TW


class Distillation:
    """A guest of `model` from its making to `close`: a decoder among the modules, an ear at the understanding expert."""

    def __init__(self, model: "UniAudioLM", teacher: CodecTeacher, weight: float, seed: int) -> None:
        self.weight, self.teacher, self._model = weight, teacher, model
        teacher.to(model.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder = SemanticDecoder(model.config.width, teacher.width, teacher.width, _STRIDES)
        model.add_module(DECODER, decoder.to(model.device))
        self._heard_BSD: Tensor | None = None
        self._ear = model.understanding_expert.register_forward_hook(self._listen)

    def close(self) -> None:
        """Leave the model as it was, but for what it learned."""
        self._ear.remove()
        delattr(self._model, DECODER)

    @property
    def decoder(self) -> nn.Module:
        return cast(nn.Module, getattr(self._model, DECODER))

    def count(self, batch: "Batch") -> int:
        """Frames with a target."""
        return int((self._kinds(batch) != _NO_KIND).sum())

    def loss_sum(self, batch: "Batch") -> Tensor:
        """Summed loss (float32 scalar) of the batch that the model has just read: of each frame the mean square error."""
        heard_BSD, self._heard_BSD = self._heard_BSD, None
        total = torch.zeros((), device=self._model.device)
        kinds_BS = self._kinds(batch)
        if heard_BSD is None or not bool(kinds_BS.any()):
            return total
        decoder = self.decoder
        for row, first, last, kind in _runs(kinds_BS, batch.document_ids_BS):
            said_TW = decoder(heard_BSD[row : row + 1, first:last])[0].float()
            target_TW = self.teacher.vectors(batch.ids_BS9[row, first:last, :-1], kind)
            total = total + (said_TW - target_TW).square().mean(dim=-1).sum()
        return total

    def _kinds(self, batch: "Batch") -> Tensor:
        # The last position of a row is a target only: the model need not have read it.
        is_read_BS = batch.document_ids_BS[:, 1:] != PADDING_DOCUMENT
        return self.teacher.kinds(batch.ids_BS9[:, :-1], batch.is_audio_BS[:, :-1] & is_read_BS)

    def _listen(self, _module: nn.Module, _inputs: object, output_BSD: Tensor) -> None:
        self._heard_BSD = output_BSD if torch.is_grad_enabled() else None


def _runs(kinds_BS: Tensor, document_ids_BS: Tensor) -> list[tuple[int, int, int, int]]:
    """(row, first, behind the last, kind) of each stretch of frames of one kind in one document."""
    runs = []
    for row, kinds_S in enumerate(kinds_BS.cpu()):
        documents_S = document_ids_BS[row, : len(kinds_S)].cpu()
        changes_S = (kinds_S[1:] != kinds_S[:-1]) | (documents_S[1:] != documents_S[:-1])
        edges = [0, *(torch.nonzero(changes_S)[:, 0] + 1).tolist(), len(kinds_S)]
        spans = zip(edges[:-1], edges[1:], strict=True)
        runs += [(row, first, last, int(kinds_S[first])) for first, last in spans if kinds_S[first] != _NO_KIND]
    return runs
