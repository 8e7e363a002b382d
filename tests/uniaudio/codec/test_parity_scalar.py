"""Scalar autoencoder against the released one: `scalar_causal`, `scalar_noncausal`."""

import pytest

from uniaudio.codec.released.scalar import scalar_config, scalar_state
from uniaudio.codec.scalar import ScalarAutoencoder

CASES = ["scalar_causal", "scalar_noncausal"]


def released_scalar(golden, case: str) -> ScalarAutoencoder:
    weights = golden.tensors(case, "weights")
    autoencoder = ScalarAutoencoder(scalar_config(weights, causal=golden.info(case)["causal"]))
    autoencoder.load_state_dict(scalar_state(weights))
    return autoencoder.eval()


@pytest.mark.parametrize("case", CASES)
def test_codec_scalar_latents_equal_the_released_ones(golden, case):
    io = golden.tensors(case, "io")
    golden.assert_close(released_scalar(golden, case).encode(io["wav"][:, 0]), io["latent"].transpose(1, 2))


@pytest.mark.parametrize("case", CASES)
def test_codec_scalar_waveforms_equal_the_released_ones(golden, case):
    io = golden.tensors(case, "io")
    autoencoder = released_scalar(golden, case)
    golden.assert_close(autoencoder.decode(io["latent"].transpose(1, 2)), io["wav_out"][:, 0])
    golden.assert_close(autoencoder(io["wav"][:, 0]), io["wav_forward"][:, 0])


@pytest.mark.parametrize("case", CASES)
def test_codec_scalar_sizes_are_read_from_the_released_tensors(golden, case):
    info = golden.info(case)
    config = scalar_config(golden.tensors(case, "weights"), causal=info["causal"])
    assert list(config.strides) == info["downsample_factors"]
    assert list(config.down_kernel_sizes) == info["downsample_kernel_sizes"]
    assert list(config.up_kernel_sizes) == info["upsample_kernel_sizes"]
    assert config.pool_samples == info["num_samples"]
    assert config.num_bands == info["num_bands"]
    assert config.latent_dim == info["latent_hidden_dim"]
    assert config.initial_channels == info["init_channel"]
    assert config.kernel_size == info["default_kernel_size"]
    assert config.look_ahead_kernel_size == info["delay_kernel_size"]
    assert config.residual_kernel_size == info["res_kernel_size"]
    assert config.hop_samples == 960
