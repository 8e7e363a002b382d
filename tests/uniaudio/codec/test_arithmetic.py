"""Encoding in other arithmetics: other codes, and the token contract all the same."""

import copy
import shutil

import numpy as np
import pytest
import torch

from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.codec.encoding import Arithmetic, encode_clips
from uniaudio.codec.windows import check_clip
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("transformers")
CLIPS = [a_waveform(1.0), a_waveform(0.3, seed=1)]


def are_equal(one: list[Codes], other: list[Codes]) -> bool:
    return all(
        np.array_equal(a.reasoning, b.reasoning) and np.array_equal(a.reconstruction, b.reconstruction)
        for a, b in zip(one, other, strict=True)
    )


def hidden_of(codec: ReasoningCodec) -> torch.Tensor:
    (encoded,) = encode_clips(codec, [check_clip(CLIPS[1], 0)], sample_rate=24_000, keep_hidden=True)
    return encoded.reconstruction_hidden


def test_codec_in_bfloat16_has_other_states_near_by_and_codes_that_do_not_depend_on_neighbors() -> None:
    codec = copy.copy(tiny_codec())
    exact = hidden_of(codec)
    codec.arithmetic = Arithmetic(dtype=torch.bfloat16)
    rounded = hidden_of(codec)
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    assert (rounded - exact).abs().mean() < 0.05 * exact.abs().mean()
    assert are_equal(codec.encode(CLIPS), codec.encode(CLIPS[::-1])[::-1])
    assert not torch.is_autocast_enabled("cpu")
    codec.arithmetic = Arithmetic()
    assert torch.equal(hidden_of(codec), exact)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++, which is not here")
def test_codec_that_is_compiled_gives_codes_that_do_not_depend_on_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = copy.deepcopy(tiny_codec())
    exact = hidden_of(codec)
    codec.compile_encoders()
    assert codec.arithmetic.compiled
    assert torch.allclose(hidden_of(codec), exact, atol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    short = CLIPS[1]
    assert are_equal(codec.encode([short]) * 2, codec.encode([short, short]))
    monkeypatch.setattr("uniaudio.codec.encoding.MAX_SHAPES", 1)
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        codec.encode(CLIPS)
