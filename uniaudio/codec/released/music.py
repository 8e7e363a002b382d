"""Released weights of the music encoder under our names: `pretrained_model.model.model.*`, or `music_ssl.pt` less its
leading `model.`.

Row in   {"conformer.layers.0.ffn1.output_dense.bias": [1024]}
Row out  {"blocks.0.ff_before.3.bias": [1024]}
"""

from uniaudio.codec.released.parts import Rules

_BATCH_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_BLOCK = r"conformer\.layers\.(\d+)\."
# Parts of the music encoder that the codec never runs: quantizer and mask of its pretraining, unused position
# convolution, last norm (the codec stops one block before it), and mel tables that we compute.
_UNUSED_IN_MUSIC = (
    r"cls_token|preprocessor_melspec_2048\..*|quantizer_melspec_2048\..*|rvq\..*|linear\.(weight|bias)"
    r"|conformer\.embed_positions\.inv_freq|conformer\.pos_conv_embed\..*|conformer\.layer_norm\.(weight|bias)"
)

MUSIC: Rules = (
    (_UNUSED_IN_MUSIC, ""),
    (r"conv\.conv\.(\d+)\.conv1\.(weight|bias)", r"front_end.\1.first.0.\2"),
    (r"conv\.conv\.(\d+)\.conv2\.(weight|bias)", r"front_end.\1.second.0.\2"),
    (r"conv\.conv\.(\d+)\.conv3\.(weight|bias)", r"front_end.\1.shortcut.0.\2"),
    (rf"conv\.conv\.(\d+)\.bn1\.{_BATCH_NORM}", r"front_end.\1.first.1.\2"),
    (rf"conv\.conv\.(\d+)\.bn2\.{_BATCH_NORM}", r"front_end.\1.second.1.\2"),
    (rf"conv\.conv\.(\d+)\.bn3\.{_BATCH_NORM}", r"front_end.\1.shortcut.1.\2"),
    (r"conv\.linear\.(weight|bias)", r"project.\1"),
    (rf"{_BLOCK}ffn1_layer_norm\.(weight|bias)", r"blocks.\1.ff_before.0.\2"),
    (rf"{_BLOCK}ffn1\.intermediate_dense\.(weight|bias)", r"blocks.\1.ff_before.1.\2"),
    (rf"{_BLOCK}ffn1\.output_dense\.(weight|bias)", r"blocks.\1.ff_before.3.\2"),
    (rf"{_BLOCK}self_attn_layer_norm\.(weight|bias)", r"blocks.\1.attention_norm.\2"),
    (rf"{_BLOCK}self_attn\.linear_q\.(weight|bias)", r"blocks.\1.attention.query.\2"),
    (rf"{_BLOCK}self_attn\.linear_k\.(weight|bias)", r"blocks.\1.attention.key.\2"),
    (rf"{_BLOCK}self_attn\.linear_v\.(weight|bias)", r"blocks.\1.attention.value.\2"),
    (rf"{_BLOCK}self_attn\.linear_out\.(weight|bias)", r"blocks.\1.attention.out.\2"),
    (rf"{_BLOCK}conv_module\.layer_norm\.(weight|bias)", r"blocks.\1.convolution.norm.\2"),
    (rf"{_BLOCK}conv_module\.pointwise_conv1\.weight", r"blocks.\1.convolution.gated.weight"),
    (rf"{_BLOCK}conv_module\.depthwise_conv\.weight", r"blocks.\1.convolution.depthwise.weight"),
    (rf"{_BLOCK}conv_module\.batch_norm\.{_BATCH_NORM}", r"blocks.\1.convolution.depthwise_norm.\2"),
    (rf"{_BLOCK}conv_module\.pointwise_conv2\.weight", r"blocks.\1.convolution.pointwise.weight"),
    (rf"{_BLOCK}ffn2_layer_norm\.(weight|bias)", r"blocks.\1.ff_after.0.\2"),
    (rf"{_BLOCK}ffn2\.intermediate_dense\.(weight|bias)", r"blocks.\1.ff_after.1.\2"),
    (rf"{_BLOCK}ffn2\.output_dense\.(weight|bias)", r"blocks.\1.ff_after.3.\2"),
    (rf"{_BLOCK}final_layer_norm\.(weight|bias)", r"blocks.\1.norm.\2"),
)
