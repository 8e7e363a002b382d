"""The losses equal the authors' on their own logits (golden tensors, which are not part of the repository)."""

import os
from pathlib import Path

import pytest
import torch

from uniaudio.training.lm.losses import LossSums, LossWeights, audio_loss_sums, text_loss_sum, total_loss

REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def golden() -> dict:
    folder = Path(os.environ.get("UNIAUDIO_PARITY", REPOSITORY.parent / "shared" / "parity")) / "lm"
    if not folder.is_dir():
        pytest.skip(f"no golden tensors at {folder}; set UNIAUDIO_PARITY to the folder that holds lm/core_io.pt")
    return torch.load(folder / "core_io.pt", weights_only=True)


@pytest.fixture(scope="module")
def sums(golden: dict) -> LossSums:
    """Sums over the targets with loss; the authors divide by all audio targets (`all_frames`)."""
    forward = golden["forward"]
    is_text_BS = golden["loss_masks"][:, 1:, 8] > 0
    has_loss_N = forward["choosed_mask"][:, 0] > 0
    return LossSums(
        text=text_loss_sum(forward["text_logits"][is_text_BS], golden["tokens"][:, 1:, 8][is_text_BS]),
        num_text=int(is_text_BS.sum()),
        audio_Q=audio_loss_sums(forward["ci_logits"][has_loss_N], forward["choosed_label"][has_loss_N]),
        num_audio=len(has_loss_N),
    )


def test_text_loss_is_the_authors(golden: dict, sums: LossSums) -> None:
    torch.testing.assert_close(sums.text / sums.num_text, golden["losses"]["text"], atol=1e-6, rtol=0)


def test_each_stream_loss_is_the_authors(golden: dict, sums: LossSums) -> None:
    theirs_Q = torch.stack([golden["losses"]["metrics_audio"][f"loss_{stream + 1}"] for stream in range(8)])
    torch.testing.assert_close(sums.audio_Q / sums.num_audio, theirs_Q, atol=1e-6, rtol=0)


def test_weighted_totals_are_the_authors(golden: dict, sums: LossSums) -> None:
    theirs = golden["losses"]
    weighted = total_loss(sums, LossWeights(text=0.0, audio=1.0, streams=tuple(theirs["stream_weights"])))
    torch.testing.assert_close(weighted, theirs["audio_weighted"], atol=1e-6, rtol=0)
    total = total_loss(sums, LossWeights(text=1.6, audio=1.0, streams=tuple(theirs["stream_weights"])))
    torch.testing.assert_close(total, theirs["total_1.6text+audio"], atol=2e-6, rtol=0)
