"""Golden tensors of the released architecture: forward, losses, gradients, cached decoding.

`pytest -k "parity and lm"` selects them.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from uniaudio.lm.blocks import Attend
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.compat import CompatDecoder, CompatSampling
from uniaudio.lm.released.load import our_name
from uniaudio.lm.rope import rotation
from uniaudio.training.lm.data import PADDING_DOCUMENT, Batch
from uniaudio.training.lm.losses import LossWeights, loss_sums, total_loss

HEAD_SIZE = 16
RECONSTRUCTION_OFFSET = 40
Load = Callable[[str, int], UniAudioLM]


@pytest.fixture(scope="module")
def model(released_model: Load) -> UniAudioLM:
    return released_model("core_model.checkpoint", HEAD_SIZE)


def run(model: UniAudioLM, golden: dict[str, Any]) -> tuple[Tensor, Tensor]:
    ids, mask = golden["tokens"], golden["masks"].bool()
    hidden = model(ids[:, :-1], mask[:, :-1, 0], mask[:, :-1, 8])
    next_is_audio = mask[:, 1:, 0]
    return model.text_logits(hidden), model.audio_logits(hidden[next_is_audio], ids[:, 1:, :8][next_is_audio])


def losses(model: UniAudioLM, golden: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Text, audio by stream, and their weighted total, normalized as the authors do."""
    text_logits, audio_logits = run(model, golden)
    targets, loss_mask = golden["tokens"][:, 1:], golden["loss_masks"].bool()[:, 1:]
    text = F.cross_entropy(text_logits[loss_mask[..., 8]], targets[..., 8][loss_mask[..., 8]])
    next_is_audio = golden["masks"].bool()[:, 1:, 0]
    codes, counted = targets[..., :8][next_is_audio], loss_mask[..., :8][next_is_audio]
    streams = (F.cross_entropy(audio_logits.permute(0, 2, 1), codes, reduction="none") * counted).sum(0) / len(codes)
    weights = torch.tensor(golden["losses"]["stream_weights"])
    return text, streams, 1.6 * text + (streams * weights).sum() / len(weights)


def test_parity_of_logits(model: UniAudioLM, golden: dict[str, Any]) -> None:
    text_logits, audio_logits = run(model, golden)
    torch.testing.assert_close(text_logits, golden["forward"]["text_logits"], atol=2e-5, rtol=0)
    torch.testing.assert_close(audio_logits, golden["forward"]["ci_logits"], atol=2e-5, rtol=0)


def test_parity_of_losses(model: UniAudioLM, golden: dict[str, Any]) -> None:
    text, streams, total = losses(model, golden)
    expected = golden["losses"]
    torch.testing.assert_close(text, expected["text"], atol=1e-6, rtol=0)
    torch.testing.assert_close(streams.mean(), expected["audio_uniform"], atol=1e-6, rtol=0)
    torch.testing.assert_close(total, expected["total_1.6text+audio"], atol=1e-6, rtol=0)


def test_parity_of_the_training_losses(model: UniAudioLM, golden: dict[str, Any]) -> None:
    """The loop's own losses, under the authors' normalization."""
    mask, loss_mask, expected = golden["masks"].bool(), golden["loss_masks"].bool(), golden["losses"]
    is_audio, is_text = mask[..., 0], mask[..., 8]
    documents = torch.where(is_audio | is_text, 0, PADDING_DOCUMENT)
    batch = Batch(
        ids_BS9=golden["tokens"],
        is_audio_BS=is_audio,
        is_text_BS=is_text,
        loss_BS=loss_mask.any(dim=-1),
        document_ids_BS=documents,
    )
    sums = loss_sums(model, batch, "all_frames")
    weights = LossWeights(text=1.6, audio=1.0, streams=tuple(expected["stream_weights"]))
    torch.testing.assert_close(total_loss(sums, weights), expected["total_1.6text+audio"], atol=2e-6, rtol=0)


def test_parity_of_gradients(released_model: Load, golden: dict[str, Any]) -> None:
    model = released_model("core_model.checkpoint", HEAD_SIZE)
    losses(model, golden)[2].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, norm in golden["grad_norms"].items():
        assert gradients[our_name(name)].norm().item() == pytest.approx(norm, rel=1e-5), name
    for name, gradient in golden["grads_small"].items():
        torch.testing.assert_close(gradients[our_name(name)], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("case", "cfg_scale"), [("decode_audio", 1.0), ("decode_text", 1.0), ("decode_audio_cfg3", 3.0)]
)
def test_parity_of_cached_decoding(model: UniAudioLM, golden: dict[str, Any], case: str, cfg_scale: float) -> None:
    expected = golden[case]
    is_audio, is_text = expected["prompt_mask"][:, :, 0], expected["prompt_mask"][:, :, 8]
    decoder = CompatDecoder(model, CompatSampling(top_k=1, cfg_scale=cfg_scale))
    decoder.prefill(expected["prompt"], is_audio, is_text)
    fed, fed_is_audio = expected["prompt"][:, -1:], is_audio[:, -1:]
    for step in range(expected["samples"].shape[1]):
        # The dump forbids reasoning ids from its eighth frame on.
        forbid_below = RECONSTRUCTION_OFFSET if case == "decode_audio" and step >= 8 else 0
        frame = decoder.step(fed, fed_is_audio, forbid_below=forbid_below)
        torch.testing.assert_close(frame.text_logits_BV, expected["text_logits"][:, step], atol=5e-5, rtol=0)
        torch.testing.assert_close(frame.audio_logits_B8V, expected["audio_logits"][:, step], atol=5e-5, rtol=0)
        sampled = torch.cat([frame.text_id_B[:, None], frame.codes_B8], dim=1)
        assert torch.equal(sampled, expected["samples"][:, step].long())
        fed = torch.cat([frame.codes_B8, frame.text_id_B[:, None]], dim=1)[:, None]
        fed_is_audio = torch.full_like(fed_is_audio, case != "decode_text")


def test_parity_of_rotary_tables(model: UniAudioLM, golden: dict[str, Any]) -> None:
    turn = rotation(model.config.rope, torch.arange(64)[None], HEAD_SIZE)
    torch.testing.assert_close(turn.cos[0, 0], golden["rope"]["backbone"]["cos"], atol=1e-6, rtol=0)
    torch.testing.assert_close(turn.sin[0, 0], golden["rope"]["decoder"]["sin"], atol=1e-6, rtol=0)


def test_parity_fails_when_experts_skip_text_positions(model: UniAudioLM, golden: dict[str, Any]) -> None:
    """The negative control: hiding text keys inside the experts is another function."""
    next_is_audio = golden["masks"].bool()[:, :-1, 0]
    expert = model.understanding_expert
    original = expert.forward

    def hide_text(
        x_BSD: Tensor, is_audio_BS1: Tensor, attend: Attend, cache: None = None, steps: None = None
    ) -> Tensor:
        num = x_BSD.shape[1]
        hidden = (next_is_audio[:, None] | torch.eye(num, dtype=torch.bool)).tril()
        return original(x_BSD, is_audio_BS1, Attend(attend.rotation, hidden), cache, steps)

    expert.forward = hide_text  # type: ignore[method-assign]
    try:
        text_logits, _ = run(model, golden)
    finally:
        del expert.forward
    assert (text_logits - golden["forward"]["text_logits"]).abs().max() > 0.1
