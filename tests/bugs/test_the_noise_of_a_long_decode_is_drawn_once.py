"""Every window drew the noise of all the windows before it again, so that time grew with the square of the clip's length."""

import pytest
import torch

from uniaudio.codec.decoding import LATENTS_PER_FRAME, DecodeNoise, DecodeSettings, draw_latents
from uniaudio.testing import tiny_codec

pytest.importorskip("transformers")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    tiny_codec()  # which draws its weights
    counts, draw = list[int](), torch.randn
    monkeypatch.setattr(torch, "randn", lambda count, **more: counts.append(count) or draw(count, **more))
    return counts


def test_decoding_draws_as_many_numbers_as_a_clip_has(drawn: list[int]) -> None:
    codec, num_latents = tiny_codec(), 600
    codes_1TQ = torch.zeros(1, num_latents // LATENTS_PER_FRAME, 8, dtype=torch.long)
    settings = DecodeSettings(steps=1, guidance=1.0)
    assert sum(latents.shape[1] for latents, _ in draw_latents(codec, [codes_1TQ], settings)) == num_latents
    assert len(drawn) > 5, "there is but one window"
    assert sum(drawn) < num_latents * codec.config.scalar.latent_dim + 16


def test_of_the_noise_of_two_hours_a_window_is_kept() -> None:
    noise, latent_dim, window, context = DecodeNoise(5, seed=0), 5, 100, 40
    for first in range(0, 2 * 3_600 * 25, window - context):
        noise.between(first, first + window)
        assert len(noise._flat) < window * latent_dim + 16
