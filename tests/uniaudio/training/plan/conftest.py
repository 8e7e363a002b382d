"""A model large enough for activations to count, and small enough to be run."""

import pytest
import torch

from tests.bench.lm_shapes import a_vocabulary, config_of
from uniaudio.lm.config import LMConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.training.lm.data import Batch
from uniaudio.training.lm.losses import LossWeights, loss_sums, total_loss

EVEN = LossWeights(text=1.0, audio=1.0, streams=(1.0,) * 8)
POSITIONS = 384


@pytest.fixture(scope="session")
def config() -> LMConfig:
    return a_config()


def a_config() -> LMConfig:
    backbone = StackConfig(num_layers=6, width=128, num_heads=4, num_kv_heads=2, head_size=32, mlp_width=384)
    depth = StackConfig(num_layers=2, width=64, num_heads=2, num_kv_heads=1, head_size=32, mlp_width=192)
    return config_of(a_vocabulary(2000, reasoning_codes=64, reconstruction_codes=64), backbone, depth, (2, 2))


def a_batch(*, audio: bool, num_documents: int) -> Batch:
    """One row in which every position but the first of a document is a target."""
    length = POSITIONS + 1
    is_audio_BS = torch.full((1, length), audio)
    return Batch(
        ids_BS9=torch.zeros(1, length, 9, dtype=torch.int64),
        is_audio_BS=is_audio_BS,
        is_text_BS=~is_audio_BS,
        loss_BS=torch.ones_like(is_audio_BS),
        document_ids_BS=(torch.arange(length) * num_documents // length)[None],
    )


def accumulate(model: UniAudioLM, batch: Batch, precision: str) -> None:
    """One micro-batch as the trainer computes it on one rank."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        total = total_loss(loss_sums(model, batch, "loss_frames", has_audio=True), EVEN)
    total.backward()


def a_model(config: LMConfig, trains: tuple[str, ...], recomputation: str) -> UniAudioLM:
    model = UniAudioLM(config)
    model.set_recomputation(recomputation)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in trains)
    return model
