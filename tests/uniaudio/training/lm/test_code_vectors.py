"""Audio ids that start as what the codec's codes stand for."""

import math

import pytest
import torch
from torch import Tensor
from uniaudio_schemas.errors import FingerprintError

from uniaudio.lm.initialize import WEIGHT_STD
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.testing import tiny_codec
from uniaudio.text.tokenizer import ByteTokenizer
from uniaudio.training.lm.code_vectors import code_spaces, start_from_code_vectors
from uniaudio.training.lm.doubles import tiny_lm

CODEC = tiny_codec()
VOCABULARY = Vocabulary.build(
    ByteTokenizer(), CODEC.config.reasoning_codebook_size, CODEC.config.reconstruction_codebook_size
)


def started(vocabulary: Vocabulary = VOCABULARY, seed: int = 0) -> tuple[UniAudioLM, UniAudioLM]:
    drawn, model = tiny_lm(vocabulary), tiny_lm(vocabulary)
    start_from_code_vectors(model, vocabulary, CODEC, seed=seed)
    return drawn, model


def added(drawn: UniAudioLM, model: UniAudioLM) -> Tensor:
    """`[Q, V, D]`: what the embeddings were given."""
    return (model.audio_embedding.weight - drawn.audio_embedding.weight).detach().view(8, VOCABULARY.audio_size, -1)


def test_a_frame_of_codes_is_the_projected_sum_of_their_vectors() -> None:
    """Distances between frames are those between what the codec makes of them."""
    given = added(*started())
    codes = torch.randint(0, VOCABULARY.reasoning_codes, (50, 8), generator=torch.Generator().manual_seed(1))
    frames = torch.stack([given[level, codes[:, level]] for level in range(8)]).sum(dim=0)
    levels = CODEC.reasoning.quantizer.levels
    meant = torch.stack([codebook.vectors[codes[:, level]] for level, codebook in enumerate(levels)]).sum(dim=0)
    ratios = torch.pdist(frames) / torch.pdist(meant)
    if given.shape[-1] >= meant.shape[-1]:
        assert torch.allclose(ratios, ratios[0].expand_as(ratios), rtol=1e-4)
    assert torch.corrcoef(torch.stack([torch.pdist(frames), torch.pdist(meant)]))[0, 1] > 0.9


def test_a_frame_is_as_loud_as_one_that_is_drawn() -> None:
    given = added(*started())
    for first_id, num_codes in (
        (0, VOCABULARY.reasoning_codes),
        (VOCABULARY.reconstruction_offset, VOCABULARY.reconstruction_codes),
    ):
        power = given[:, first_id : first_id + num_codes].square().mean(dim=(1, 2)).sum()
        assert math.sqrt(power) == pytest.approx(WEIGHT_STD * math.sqrt(8), rel=0.2)


def test_heads_rank_codes_by_their_vectors_and_special_ids_stay_as_drawn() -> None:
    drawn, model = started()
    head = model.audio_head.weight.detach()
    for space in code_spaces(VOCABULARY, CODEC):
        for stream, vectors in enumerate(space.levels, start=space.first_stream):
            columns = head[stream, :, space.first_id : space.first_id + len(vectors)].T
            near = torch.corrcoef(torch.stack([torch.pdist(columns), torch.pdist(vectors)]))[0, 1]
            assert near > 0.9, (space.first_id, stream)
            assert float(columns.square().mean().sqrt()) == pytest.approx(WEIGHT_STD, rel=0.2)
    for special in (VOCABULARY.reasoning_bos, VOCABULARY.reconstruction_eos, VOCABULARY.audio_prompt_bos):
        assert torch.equal(head[:, :, special], drawn.audio_head.weight[:, :, special])
        assert not added(drawn, model)[:, special].any()
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, drawn.get_parameter(name))}
    assert changed == {"audio_embedding.weight", "audio_head.weight"}


def test_it_is_a_function_of_the_seed() -> None:
    (_, one), (_, same), (_, other) = started(), started(), started(seed=1)
    assert torch.equal(one.audio_embedding.weight, same.audio_embedding.weight)
    assert not torch.equal(one.audio_embedding.weight, other.audio_embedding.weight)


def test_a_model_without_reasoning_tokens_has_the_other_codes() -> None:
    size = CODEC.config.reconstruction_codebook_size
    vocabulary = Vocabulary.build(ByteTokenizer(), 0, size)
    drawn, model = started(vocabulary)
    moved = (model.audio_embedding.weight - drawn.audio_embedding.weight).detach().view(8, vocabulary.audio_size, -1)
    is_moved = moved.abs().sum(dim=(0, 2)) > 0
    first = vocabulary.reconstruction_offset
    assert is_moved[first : first + size].all() and not is_moved[:first].any() and not is_moved[first + size :].any()


def test_a_codec_of_another_size_is_refused() -> None:
    vocabulary = Vocabulary.build(ByteTokenizer(), CODEC.config.reasoning_codebook_size, 17)
    with pytest.raises(FingerprintError, match="must have the vocabulary's 17 codes a level, but has"):
        start_from_code_vectors(tiny_lm(vocabulary), vocabulary, CODEC)
