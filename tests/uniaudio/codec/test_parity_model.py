"""The assembled codec against the released one: `model_encode`, `model_decode`, every intermediate and every code."""

import pytest
import torch

from uniaudio.codec.released.compat import compat_condition, sample_window

GROUPS = {"phone": "vq_pronunciation_semantic", "music": "vq_structure_semantic", "acoustic": "vq_acoustic"}


@pytest.mark.parametrize("case", ["film_on", "film_dropped"])
@torch.no_grad()
def test_codec_reasoning_branch_equals_the_released_one(golden, golden_codec, golden_features, case):
    io = golden.tensors("model_encode", case)
    reasoned = golden_codec("model").reasoning(golden_features(io))
    golden.assert_close(reasoned.hidden, io["query_transformer"][:, 5::6])
    assert torch.equal(reasoned.codes, io["reason_codes"])
    golden.assert_close(reasoned.quantized, io["reason_quantized"])
    assert len(reasoned.codes.flatten(0, 1).unique(dim=0)) > 1


@pytest.mark.parametrize("case", ["film_on", "film_dropped"])
@torch.no_grad()
def test_codec_reconstruction_branch_equals_the_released_one(golden, golden_codec, golden_features, case):
    io = golden.tensors("model_encode", case)
    branch = golden_codec("model").reconstruction
    dropped = torch.full((2,), case == "film_dropped")
    results = branch(golden_features(io), io["reason_quantized"], dropped=dict.fromkeys(GROUPS, dropped))
    for group, theirs in GROUPS.items():
        golden.assert_close(results.modulated[group], io[f"film_out.{theirs}"])
    golden.assert_close(results.phone, io["q_phone"])
    assert torch.equal(results.codes, io["rec_codes"])
    total = io["q_phone"] + io["q_music"] + io["q_acoustic"]
    golden.assert_close(results.condition, branch.condition_out(total))
    golden.assert_close(branch.condition(results.codes), results.condition)


@pytest.mark.parametrize("case", ["no_reason", "no_reason_ctx", "with_reason"])
@torch.no_grad()
def test_codec_latents_equal_the_released_ones(golden, golden_codec, case):
    io = golden.tensors("model_decode", case)
    info = golden.info("model_decode")
    codec = golden_codec("model")
    reconstruction = io["rec_codes"].transpose(1, 2)
    reasoning = io["reason_codes"].transpose(1, 2) if case == "with_reason" else None
    golden.assert_close(compat_condition(codec, reconstruction, reasoning), io["mu"])
    num_context = int((io["latents"] == io["true_latents"]).all(dim=2).sum())
    assert bool(num_context) == (case == "no_reason_ctx")
    latents = sample_window(
        codec,
        reconstruction,
        io["true_latents"][:, :num_context] if num_context else None,
        reasoning_1RQ=reasoning,
        noise_1SL=io["noise"],
        num_steps=info["steps"],
        guidance=info["guidance"],
    )
    golden.assert_close(latents, io["latents"])
