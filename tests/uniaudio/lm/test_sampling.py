"""Drawing ids: the cut-offs keep what they say, draws follow the probabilities."""

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.sampling import Sampling, Uniforms, guide, sample

SHARES = torch.tensor([0.1, 0.5, 0.15, 0.25])


def drawn(sampling: Sampling, num: int = 4000) -> torch.Tensor:
    """The share of draws of each id."""
    uniform = (torch.arange(num, dtype=torch.float64) + 0.5) / num
    ids = sample(SHARES.log().expand(num, 4), sampling, uniform)
    return torch.bincount(ids, minlength=4) / num


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=1.0), SHARES),
        (Sampling(temperature=1.0, top_k=2), torch.tensor([0.0, 2 / 3, 0.0, 1 / 3])),
        (Sampling(temperature=1.0, top_p=0.74), torch.tensor([0.0, 2 / 3, 0.0, 1 / 3])),
        (Sampling(temperature=1.0, top_p=0.4), torch.tensor([0.0, 1.0, 0.0, 0.0])),
        (Sampling(temperature=0.5), SHARES**2 / (SHARES**2).sum()),
        (Sampling(temperature=1.0, top_k=1), torch.tensor([0.0, 1.0, 0.0, 0.0])),
        (Sampling(), torch.tensor([0.0, 1.0, 0.0, 0.0])),
    ],
)
def test_draws_follow_the_kept_probabilities(sampling: Sampling, expected: torch.Tensor) -> None:
    torch.testing.assert_close(drawn(sampling), expected, atol=1e-3, rtol=0)


def test_a_forbidden_id_is_never_drawn() -> None:
    logits = torch.full((1000, 4), -torch.inf)
    logits[:, 2] = 0.0
    uniform = torch.linspace(0, 1, 1000, dtype=torch.float64).clamp(max=1 - 1e-12)
    for sampling in (
        Sampling(temperature=1.0),
        Sampling(temperature=1.0, top_k=3),
        Sampling(temperature=1.0, top_p=0.9),
    ):
        assert (sample(logits, sampling, uniform) == 2).all()


def test_uniforms_depend_on_seed_and_step_alone() -> None:
    in_order, jumped = Uniforms(3), Uniforms(3)
    expected = [in_order.at(step) for step in range(200)]
    assert torch.equal(jumped.at(199), expected[199])
    assert torch.equal(jumped.at(0), expected[0])
    assert not torch.equal(Uniforms(4).at(0), expected[0])


def test_guidance_goes_from_the_blanked_prompt_through_the_given_one() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    assert guide(logits, 1.0).tolist() == [[2.0, 0.0]]
    assert guide(logits, 3.0).tolist() == [[4.0, -2.0]]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(UsageError, match="`top_p` must be above 0 and at most 1, but is 0"):
        Sampling(top_p=0)
    with pytest.raises(UsageError, match=r"`temperature` must be 0 or lie in .* but is -1"):
        Sampling(temperature=-1)
