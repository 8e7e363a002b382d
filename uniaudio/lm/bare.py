"""Linear and embedding layers that come without values: `initialize` or a checkpoint fills them.

Drawing them twice would cost minutes at 3B, and drawing them on the meta device imports torch's whole compiler (4 s).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniaudio.products import linear


class Linear(nn.Linear):
    """A linear layer without bias, whose weights are not initialized."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Training takes the fast product; without gradients the exact one, unless `products.EveryLinear` asks for speed. A
        compiler chooses for itself.
        """
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return F.linear(input, self.weight)
        return linear(input, self.weight)

    def reset_parameters(self) -> None:
        """Nothing: the values come later."""


class Embedding(nn.Embedding):
    """An embedding whose weights are not initialized."""

    def reset_parameters(self) -> None:
        """Nothing: the values come later."""
