"""The loader of released parts: nothing is renamed by luck, nothing is dropped silently."""

import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.codec.config.parts import ScalarConfig
from uniaudio.codec.quantize import ResidualVQ
from uniaudio.codec.released.parts import SEMANTIC_DECODER, new_weight_norm_names, rename, residual_vq_state
from uniaudio.codec.released.scalar import scalar_state
from uniaudio.codec.scalar import ScalarAutoencoder


def released_vq_tensors(num_codes: int = 6) -> dict[str, torch.Tensor]:
    return {
        "project_in.weight": torch.randn(4, 12),
        "project_in.bias": torch.randn(4),
        "project_out.weight": torch.randn(12, 4),
        "project_out.bias": torch.randn(12),
        "layers.0._codebook.embed": torch.randn(1, num_codes, 4),
    }


def test_an_unknown_tensor_is_an_error_that_names_it():
    with pytest.raises(DataError, match=r"conv3\.weight"):
        rename({"conv3.weight": torch.zeros(1)}, SEMANTIC_DECODER, part="semantic decoder")


def test_moving_averages_missing_from_a_file_start_at_the_code_vectors():
    state = residual_vq_state(released_vq_tensors())
    ResidualVQ(12, 4, 1, 6).load_state_dict(state)
    assert torch.equal(state["codebooks.0.cluster_sum"], state["codebooks.0.vectors"])
    assert state["codebooks.0.initialized"]


def test_a_flag_of_shape_one_loads():
    released = {**released_vq_tensors(), "layers.0._codebook.initted": torch.tensor([True])}
    assert residual_vq_state(released)["codebooks.0.initialized"].shape == ()


def test_both_spellings_of_weight_norm_are_one():
    assert set(new_weight_norm_names({"a.weight_g": torch.zeros(1), "a.weight_v": torch.zeros(1)})) == set(
        new_weight_norm_names(
            {
                "a.parametrizations.weight.original0": torch.zeros(1),
                "a.parametrizations.weight.original1": torch.zeros(1),
            }
        )
    )


def test_down_sampling_slopes_that_differ_are_an_error():
    released = {f"encoder.{i}.down_conv.activation.weight": torch.tensor([0.1 * i]) for i in (2, 3)}
    with pytest.raises(DataError, match="must be the same"):
        scalar_state(released)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pool_samples", [1, 2])
def test_a_scalar_autoencoder_keeps_the_length_of_whole_frames(causal, pool_samples):
    config = ScalarConfig(
        latent_dim=3,
        initial_channels=2,
        strides=(2, 4),
        down_kernel_sizes=(4, 8),
        up_kernel_sizes=(8, 4),
        pool_samples=pool_samples,
        causal=causal,
    )
    waveform = torch.randn(2, 6 * config.hop_samples)
    autoencoder = ScalarAutoencoder(config)
    assert autoencoder.encode(waveform).shape == (2, 6, 3)
    assert autoencoder(waveform).shape == waveform.shape


def test_a_causal_encoder_sees_no_later_sample():
    config = ScalarConfig(
        latent_dim=3, initial_channels=2, strides=(2, 4), down_kernel_sizes=(4, 8), up_kernel_sizes=(8, 4)
    )
    autoencoder = ScalarAutoencoder(config)
    waveform = torch.randn(1, 80)
    changed = waveform.clone()
    changed[:, 40:] = 0.0
    assert torch.equal(autoencoder.encode(waveform)[:, :5], autoencoder.encode(changed)[:, :5])
