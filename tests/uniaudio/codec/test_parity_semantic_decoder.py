"""Semantic decoders against the released ones: `semdec_music` (strides 1, 2), `semdec_phone` (strides 2, 2)."""

import pytest

from uniaudio.codec.released.parts import SEMANTIC_DECODER, rename
from uniaudio.codec.semantic_decoder import SemanticDecoder


@pytest.mark.parametrize("case", ["semdec_music", "semdec_phone"])
def test_codec_semantic_decoder_equals_the_released_one(golden, case):
    info = golden.info(case)
    decoder = SemanticDecoder(
        info["code_dim"], info["decode_channels"], info["output_channels"], tuple(info["strides"])
    )
    decoder.load_state_dict(rename(golden.tensors(case, "weights"), SEMANTIC_DECODER, part="decoder"))
    io = golden.tensors(case, "io")
    golden.assert_close(decoder(io["z"].transpose(1, 2)), io["y"].transpose(1, 2))
