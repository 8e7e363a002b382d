"""Flow transformer, solver and loss against the released ones: `flow_transformer`, `cfm_euler`, `cfm_loss`."""

import pytest
import torch

from uniaudio.codec.flow import FlowTransformer, sinusoid_positions, sinusoid_time
from uniaudio.codec.flow_matching import FlowMatching
from uniaudio.codec.released.parts import FLOW_TRANSFORMER, flow_config, rename


@pytest.fixture(scope="module")
def transformer(golden) -> FlowTransformer:
    weights = golden.tensors("flow_transformer", "weights")
    transformer = FlowTransformer(flow_config(weights, head_dim=golden.info("flow_transformer")["attention_head_dim"]))
    transformer.load_state_dict(rename(weights, FLOW_TRANSFORMER, part="flow"))
    return transformer.eval()


def test_codec_flow_transformer_equals_the_released_one(golden, transformer):
    io = golden.tensors("flow_transformer", "io")
    golden.assert_close(transformer(io["x"], io["t"]), io["y"])


def test_codec_flow_transformer_equals_the_released_one_in_every_intermediate(golden, transformer):
    io = golden.tensors("flow_transformer", "io")
    golden.assert_close(sinusoid_time(io["t"], 512), io["sinusoid"])
    projected = transformer.project_in(io["x"])
    golden.assert_close(projected, io["proj_in"])
    positioned = projected + sinusoid_positions(projected.shape[1], projected.shape[2], projected.device)
    golden.assert_close(positioned, io["pos_embed"])
    embedding, shared = transformer.time(io["t"])
    golden.assert_close(embedding, io["temb"])
    golden.assert_close(shared.flatten(1), io["adaln6"])
    golden.assert_close(transformer.blocks[0](positioned, shared), io["block0"])


def test_codec_computed_position_table_is_the_released_buffer(golden):
    table = golden.tensors("flow_transformer", "weights")["pos_embed.pe"][0]
    assert torch.equal(sinusoid_positions(*table.shape, table.device), table)


@pytest.mark.parametrize("num_steps", [1, 4, 10])
def test_codec_euler_solver_equals_the_released_one(golden, transformer, num_steps):
    io = golden.tensors("cfm_euler", f"io_{num_steps}")
    info = golden.info("cfm_euler")
    flow = FlowMatching(transformer, sigma_min=info["sigma_min"])
    context = io["incontext"][:, : info["incontext_length"]]
    latents = flow.solve(io["noise"], io["mu"], num_steps=num_steps, guidance=info["guidance"], context_BPL=context)
    golden.assert_close(latents, io["out"])


def test_codec_flow_loss_and_its_gradient_equal_the_released_ones(golden, transformer):
    io = golden.tensors("cfm_loss", "io")
    loss = FlowMatching(transformer, attend_padding=True).loss(
        io["x1"],
        io["mu"],
        io["mask"],
        context_BTL=io["incontext"],
        time_B=io["t"].flatten(),
        noise_BTL=io["z"],
    )
    golden.assert_close(loss.reshape(1), io["loss"])
    weight = transformer.project_out.linear.weight
    (gradient,) = torch.autograd.grad(loss, [weight])
    golden.assert_close(gradient, io["grad_proj_out_ffn_2_weight"])
