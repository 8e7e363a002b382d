"""FiLM: what a dropped item keeps, and what a seed decides."""

import torch

from uniaudio.codec.film import TimeFiLM, draw_drops


def test_a_dropped_item_passes_unchanged_and_another_does_not():
    features, condition = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    modulated = TimeFiLM(8)(features, condition, torch.tensor([True, False]))
    assert torch.equal(modulated[0], features[0])
    assert not torch.allclose(modulated[1], features[1])


def test_no_drops_is_the_same_as_dropping_nobody():
    features, condition = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    film = TimeFiLM(8)
    assert torch.equal(film(features, condition), film(features, condition, torch.zeros(2, dtype=torch.bool)))


def test_a_probability_of_zero_drops_nobody_and_a_seed_decides_the_rest():
    assert not draw_drops(1000, 0.0).any()
    one, same = (draw_drops(1000, 0.2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, same)
    assert 0.15 < one.float().mean() < 0.25
