"""Audio ids that start as what the codec's codes stand for, instead of at random.

Near code vectors mean nearly the same. Drawn at random, the embeddings and heads of 16,384 codes have to learn so one by one, which takes
more audio than a small corpus has; projected from the code vectors they know it from the first step (LOG.md: held-out `asr` of
`starter` after 120 steps .46 nats a token, drawn at random .64). The paper does not say how its embeddings start.

Reads    code vectors `[K, C]` of each level of the codec's four quantizers
Writes   rows of `audio_embedding` and columns of `audio_head`, in place
"""

# Shapes: K codes, C code width, L levels of a quantizer, N width of what is written

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from uniaudio_schemas.errors import FingerprintError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.quantize import ResidualVQ
from uniaudio.lm.initialize import WEIGHT_STD
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary


class CodeSpace(NamedTuple):
    """One quantizer and where its codes stand in the model's ids."""

    first_id: int
    """Combined id of its code 0."""
    first_stream: int
    """Audio stream of its first level."""
    levels: list[Tensor]
    """L code vectors `[K, C]` float32, which add up."""


@torch.no_grad()
def start_from_code_vectors(model: UniAudioLM, vocabulary: Vocabulary, codec: ReasoningCodec, *, seed: int = 0) -> None:
    """Adds projected code vectors to the embeddings of all codes, and writes them into the heads.

    Embedding: the vectors of a frame's codes add up as in the codec, to the loudness that a frame drawn at random has; what was drawn stays,
    so that no two codes are one. Head: each level at the loudness of a drawn one. Projections have orthonormal columns and depend on `seed`
    and the shapes alone. FingerprintError where the codec's codebooks are not those of the vocabulary.
    """
    generator = torch.Generator().manual_seed(seed)
    embedding = model.audio_embedding.weight.view(vocabulary.num_codebooks, vocabulary.audio_size, -1)
    head = model.audio_head.weight
    frame_deviation = WEIGHT_STD * math.sqrt(vocabulary.num_codebooks)
    spaces = list(code_spaces(vocabulary, codec))
    for space in spaces:
        heard, said = (
            _projection(len_from, space.levels[0].shape[1], generator).to(head.device)
            for len_from in (embedding.shape[-1], head.shape[1])
        )
        num_spaces = sum(other.first_id == space.first_id for other in spaces)
        share = frame_deviation / math.sqrt(num_spaces * sum(_mean_square(level) for level in space.levels))
        for stream, vectors_KC in enumerate(space.levels, start=space.first_stream):
            ids = slice(space.first_id, space.first_id + len(vectors_KC))
            vectors_KC = vectors_KC.to(head.device)
            embedding[stream, ids] += share * vectors_KC @ heard.T
            head[stream, :, ids] = WEIGHT_STD / math.sqrt(_mean_square(vectors_KC)) * said @ vectors_KC.T


def code_spaces(vocabulary: Vocabulary, codec: ReasoningCodec) -> Iterator[CodeSpace]:
    """Reasoning codes, where the vocabulary has them, and each group of reconstruction codes."""
    if vocabulary.has_reasoning:
        yield CodeSpace(0, 0, _levels(codec.reasoning.quantizer, vocabulary.reasoning_codes))
    first_stream = 0
    for quantizer in codec.reconstruction.quantizers.values():
        assert isinstance(quantizer, ResidualVQ)
        levels = _levels(quantizer, vocabulary.reconstruction_codes)
        yield CodeSpace(vocabulary.reconstruction_offset, first_stream, levels)
        first_stream += quantizer.num_levels


def _levels(quantizer: ResidualVQ, num_codes: int) -> list[Tensor]:
    if quantizer.codebook_size != num_codes:
        raise FingerprintError(
            f"the codec must have the vocabulary's {num_codes} codes a level, but has {quantizer.codebook_size}."
        )
    return [codebook.vectors.detach().float() for codebook in quantizer.levels]


def _mean_square(vectors_KC: Tensor) -> float:
    return max(float(vectors_KC.square().mean()), torch.finfo(torch.float32).tiny)


def _projection(width: int, code_dim: int, generator: torch.Generator) -> Tensor:
    """`[N, C]` with orthonormal columns, or rows where it is narrower, that keeps the mean square of what it projects."""
    drawn = torch.randn(max(width, code_dim), min(width, code_dim), generator=generator)
    columns, _ = torch.linalg.qr(drawn)
    wide: Tensor = (columns if width >= code_dim else columns.T) * math.sqrt(width / min(width, code_dim))
    return wide
