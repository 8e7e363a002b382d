"""Compat windowing against the released tokenizer: `tokenizer_encode`, `tokenizer_decode`, the drift case included."""

import pytest
import torch

from uniaudio.codec.released.compat import compat_codes, decode_compat, encode_compat, sample_window


@pytest.mark.parametrize("case", ["short", "exact", "long"])
@torch.no_grad()
def test_codec_compat_codes_equal_the_released_ones(golden, golden_codec, golden_encoders, case):
    io = golden.tensors("tokenizer_encode", case)
    codec = golden_codec("model")
    codec.encoders = golden_encoders
    window_samples = round(golden.info("tokenizer_encode")["min_duration"] * 24_000)
    reasoning, reconstruction = encode_compat(
        io["wav"][0], lambda windows: compat_codes(codec, windows), window_samples=window_samples
    )
    assert torch.equal(reasoning, io["reason"][0].T)
    assert torch.equal(reconstruction, io["semantic"][0].T)


@pytest.mark.parametrize(("case", "duration_s"), [("no_reason", 3.2), ("no_reason_drift", 3.36)])
@torch.no_grad()
def test_codec_compat_waveform_equals_the_released_one(golden, golden_codec, case, duration_s):
    io = golden.tensors("tokenizer_decode", case)
    info = golden.info("tokenizer_decode")
    codec = golden_codec("model")

    def sample(codes, context, window):
        latents = sample_window(
            codec, codes, context, noise_1SL=io[f"noise_{window}"], num_steps=info["steps"], guidance=1.5
        )
        golden.assert_close(latents, io[f"latents_{window}"])
        return latents

    waveform = decode_compat(io["codes"][0].T, sample, codec.scalar.decode, window_samples=round(duration_s * 24_000))
    golden.assert_close(waveform, io["wav"][0])
