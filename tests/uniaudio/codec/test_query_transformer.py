"""What the query transformer promises beyond the golden tensors: groups, masks, the learned query."""

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.query_transformer import QueryTransformer


@pytest.fixture
def transformer() -> QueryTransformer:
    torch.manual_seed(0)
    transformer = QueryTransformer(64, 2, 32).eval()
    with torch.no_grad():
        for block in transformer.blocks:
            block.attention_scale.fill_(0.5)
            block.ff_scale.fill_(0.5)
    return transformer


def test_a_group_of_five_frames_becomes_one_vector(transformer):
    assert transformer(torch.randn(2, 15, 64)).shape == (2, 3, 64)


def test_frames_that_fill_no_group_are_refused(transformer):
    with pytest.raises(UsageError, match="but holds 41"):
        transformer(torch.randn(1, 41, 64))


def test_the_kept_positions_are_those_of_the_query(transformer):
    with torch.no_grad():
        for block in transformer.blocks:
            block.attention_scale.zero_()
            block.ff_scale.zero_()
    kept = transformer(torch.randn(2, 10, 64))
    assert torch.equal(kept, transformer.query.expand(2, 2, 64))


def test_masked_frames_change_nothing(transformer):
    features = torch.randn(1, 15, 64)
    valid = torch.arange(15)[None] < 10
    changed = features.clone()
    changed[:, 10:] = 9.0
    one, other = transformer(features, valid_BT=valid), transformer(changed, valid_BT=valid)
    assert torch.allclose(one[:, :2], other[:, :2], atol=1e-6)
    assert torch.allclose(one[:, :2], transformer(features[:, :10]), atol=1e-5)


def test_every_parameter_receives_a_gradient(transformer):
    transformer(torch.randn(2, 10, 64)).square().sum().backward()
    assert [name for name, parameter in transformer.named_parameters() if parameter.grad is None] == []
