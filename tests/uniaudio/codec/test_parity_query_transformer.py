"""Query transformer against the released blocks: `query_block` (two blocks, rotary tables)."""

import torch

from uniaudio.codec.query_transformer import QueryTransformer, rotary_angles, rotate
from uniaudio.codec.released.parts import QUERY_BLOCKS, new_weight_norm_names, rename


def released_transformer(golden) -> QueryTransformer:
    info = golden.info("query_block")
    transformer = QueryTransformer(info["dim"], info["depth"], info["dim_heads"])
    weights = golden.tensors("query_block", "weights")
    blocks = rename(new_weight_norm_names(weights), QUERY_BLOCKS, part="blocks")
    transformer.load_state_dict({**blocks, "query": torch.zeros(info["dim"])})
    return transformer.eval()


def test_codec_query_blocks_equal_the_released_ones(golden):
    transformer = released_transformer(golden)
    io = golden.tensors("query_block", "io")
    golden.assert_close(transformer.blocks[0](io["x"]), io["y_block0"])
    golden.assert_close(transformer.transform(io["x"]), io["y"])


def test_codec_rotary_positions_equal_the_released_ones(golden):
    transformer = released_transformer(golden)
    io = golden.tensors("query_block", "io")
    angles = rotary_angles(io["rope_in"].shape[2], transformer.blocks[0].rotary_frequencies)
    golden.assert_close(angles, io["rope_freqs"])
    golden.assert_close(rotate(io["rope_in"], angles), io["rope_out"])
