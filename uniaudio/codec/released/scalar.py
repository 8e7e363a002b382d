"""Released weights of the scalar autoencoder under our names, and the sizes its tensors reveal.

Reads    the state dict `codec_model` of the released file: `encoder.N.*` and `decoder.N.*`, numbered in order
Writes   a state dict for `ScalarAutoencoder`, a `ScalarConfig`
Row in   {"encoder.2.down_conv.layer.weight_g": [128, 1, 1]}
Row out  {"encoder.stages.0.convolution.parametrizations.weight.original0": [128, 1, 1]}
"""

import re
from collections.abc import Mapping
from math import prod

from torch import Tensor
from uniaudio_schemas.errors import DataError

from uniaudio.codec.config.parts import ScalarConfig
from uniaudio.codec.released.parts import State, count_indices, equal, new_weight_norm_names, rename, sizes_of

SHARED_SLOPE = "down_conv.activation.weight"
WEIGHT = ".parametrizations.weight.original1"
# A stage strides down in the encoder and up in the decoder.
PARTS = (("encoder", "down"), ("decoder", "up"))


def scalar_state(released: Mapping[str, Tensor]) -> State:
    """The state of a `ScalarAutoencoder`. The released encoder repeats a slope per stage, which must be one value."""
    slopes = [value for key, value in released.items() if key.endswith(SHARED_SLOPE)]
    if any(not equal(slope, slopes[0]) for slope in slopes):
        raise DataError(f"scalar autoencoder: `{SHARED_SLOPE}` must be the same in all stages, but differs.")
    return rename(new_weight_norm_names(released), scalar_rules(released), part="scalar autoencoder")


def scalar_config(released: Mapping[str, Tensor], *, causal: bool, hop_samples: int = 960) -> ScalarConfig:
    """Sizes of the scalar autoencoder; whether it is causal cannot be seen in its tensors.

    A stride is half the kernel of its transposed convolution: required by a causal model, assumed of another.
    """
    shapes = {key: tuple(value.shape) for key, value in new_weight_norm_names(released).items()}
    first = 2 if "encoder.1.conv.weight" in shapes else 1
    num_stages = max(count_indices(shapes, rf"{part}\.(\d+)\.{kind}_conv\.") for part, kind in PARTS)
    down_kernel_sizes, up_kernel_sizes = (
        tuple(sizes_of(shapes, f"{part}.{at + stage}.{kind}_conv.layer{WEIGHT}", 3)[2] for stage in range(num_stages))
        for (part, kind), at in zip(PARTS, (first, 1), strict=True)
    )
    strides = tuple(kernel_size // 2 for kernel_size in reversed(up_kernel_sizes))
    initial_channels, num_bands, kernel_size = sizes_of(shapes, f"encoder.0{WEIGHT}", 3)
    _, latent_dim, look_ahead_kernel_size = sizes_of(shapes, f"decoder.0{WEIGHT}", 3)
    return ScalarConfig(
        latent_dim=latent_dim,
        initial_channels=initial_channels,
        strides=strides,
        down_kernel_sizes=down_kernel_sizes,
        up_kernel_sizes=up_kernel_sizes,
        pool_samples=hop_samples // max(1, prod(strides)) if first == 2 else 1,
        num_bands=num_bands,
        causal=causal,
        kernel_size=kernel_size,
        look_ahead_kernel_size=look_ahead_kernel_size,
        residual_kernel_size=sizes_of(shapes, f"decoder.1.convs.0.conv1{WEIGHT}", 3)[2],
    )


def scalar_rules(released: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Where each numbered layer of this released model lives in ours."""
    num_stages, has_pool = count_indices(released, r"encoder\.(\d+)\.down_conv\."), "encoder.1.conv.weight" in released
    first = 2 if has_pool else 1
    last_in_encoder = first + num_stages
    last_in_decoder = 1 + num_stages + has_pool
    suffix = r"\.(bias|parametrizations\.weight\.original[01])"
    rules = [
        (rf"encoder\.0{suffix}", r"encoder.convolution_in.\1"),
        (rf"encoder\.{last_in_encoder}{suffix}", r"encoder.convolution_out.\1"),
        (rf"decoder\.0{suffix}", r"decoder.convolution_in.\1"),
        (rf"decoder\.{last_in_decoder}{suffix}", r"decoder.convolution_out.\1"),
        (rf"encoder\.{first}\.down_conv\.activation\.weight", r"encoder.shared_slope.weight"),
        (rf"encoder\.(?!{first}\.)\d+\.down_conv\.activation\.weight", ""),
    ]
    if has_pool:
        rules += _pool_rules("encoder.1", "encoder.pool")
        rules += _pool_rules(f"decoder.{1 + num_stages}", "decoder.unpool")
    for stage in range(num_stages):
        theirs, ours = f"encoder.{first + stage}", f"encoder.stages.{stage}"
        rules += [(rf"{re.escape(theirs)}\.down_conv\.layer{suffix}", rf"{ours}.convolution.\1")]
        rules += _unit_rules(theirs, ours)
        theirs, ours = f"decoder.{1 + stage}", f"decoder.stages.{stage}"
        rules += [(rf"{re.escape(theirs)}\.up_conv\.layer{suffix}", rf"{ours}.transposed.\1")]
        rules += _unit_rules(theirs, ours)
    return rules


def _pool_rules(theirs: str, ours: str) -> list[tuple[str, str]]:
    theirs = re.escape(theirs)
    return [
        (rf"{theirs}\.conv\.(weight|bias)", rf"{ours}.convolution.\1"),
        (rf"{theirs}\.activation\.weight", rf"{ours}.slope.weight"),
    ]


def _unit_rules(theirs: str, ours: str) -> list[tuple[str, str]]:
    unit = re.escape(theirs) + r"\.convs\.(\d+)"
    suffix = r"\.(bias|parametrizations\.weight\.original[01])"
    return [
        (rf"{unit}\.conv1{suffix}", rf"{ours}.units.\1.wide.\2"),
        (rf"{unit}\.conv2{suffix}", rf"{ours}.units.\1.narrow.\2"),
        (rf"{unit}\.activation1\.weight", rf"{ours}.units.\1.wide_slope.weight"),
        (rf"{unit}\.activation2\.weight", rf"{ours}.units.\1.narrow_slope.weight"),
    ]
