"""Of many targets the logits are never there together, and nothing but rounding tells."""

import pytest
import torch

from tests.uniaudio.training.live_bytes import LiveBytes
from uniaudio.sequence.layout import grid_of
from uniaudio.training.lm import losses
from uniaudio.training.lm.data import collate
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequence
from uniaudio.training.lm.losses import LossWeights, loss_sums, total_loss

EVEN = LossWeights(text=1.0, audio=1.0, streams=(1.0,) * 8)
BATCH = collate([[grid_of(tiny_sequence("auditory_sentences", "train", number))] for number in range(6)], 48)


def loss_and_gradients(precision: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    model = tiny_lm().to(precision)
    loss = total_loss(loss_sums(model, BATCH, "loss_frames"), EVEN)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"loss": loss.detach(), **{name: grad for name, grad in gradients.items() if grad is not None}}


@pytest.mark.parametrize("max_logits", [1, 7 * 300, 40 * 300])
def test_chunks_give_the_loss_and_gradients_of_the_whole(max_logits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loss_and_gradients()
    calls: list[int] = []
    original = losses.text_losses
    monkeypatch.setattr(losses, "text_losses", lambda *given: calls.append(len(given[0])) or original(*given))
    monkeypatch.setattr(losses, "MAX_LOGITS", max_logits)
    chunked = loss_and_gradients()
    assert max(calls) <= max(1, max_logits // tiny_lm().config.text_size)
    assert whole.keys() == chunked.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(chunked[name], tensor, atol=1e-6, rtol=1e-6)


def test_one_chunk_has_the_bits_of_no_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loss_and_gradients()
    monkeypatch.setattr(losses, "in_chunks", lambda loss_of, states, targets, **_: loss_of(states, targets))
    for name, tensor in loss_and_gradients().items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("part", ["text", "audio"])
def test_memory_of_the_logits_does_not_grow_with_the_targets(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_lm()
    audio_size, codebooks = model.config.audio_size, model.config.num_codebooks
    num_logits = model.config.text_size if part == "text" else codebooks * audio_size
    monkeypatch.setattr(losses, "MAX_LOGITS", 16 * num_logits)
    peaks = []
    for num_rows in (64, 256):
        targets = torch.zeros(num_rows, dtype=torch.int64) if part == "text" else torch.zeros(num_rows, 8).long()
        shape = (num_rows, 32) if part == "text" else (num_rows, 8, 16)
        states = torch.randn(shape, requires_grad=True)
        take = losses._text_sum if part == "text" else losses._audio_sums
        with LiveBytes() as live:
            take(model, states, targets).sum().backward()
        # Beside the gradients of the states and, twice while they are added up, of the weights.
        weight = model.text_head.weight if part == "text" else model.audio_head.weight
        peaks.append(live.peak - 2 * states.numel() * 4 - 2 * weight.numel() * 4)
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[0] < 5 * 16 * num_logits * 4
