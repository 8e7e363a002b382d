"""The experts: stacks whose input and output exist at audio positions only.

Attention inside an expert is *not* masked by modality. Text and padding positions come in as zero vectors, so their
first-layer keys and values are zero and still take part in every softmax; from the second layer on they carry what
they attended to. Leaving them out is not the same function.

Shapes: B batch, S positions, D width.
"""

from torch import Tensor, nn

from uniaudio.lm.blocks import Attend, Stack
from uniaudio.lm.cache import KVCache
from uniaudio.lm.config import StackConfig
from uniaudio.lm.stepping import Steps


class Expert(nn.Module):
    """A stack between two masks; with 0 layers it passes audio positions through unchanged."""

    def __init__(self, config: StackConfig, norm_eps: float) -> None:
        super().__init__()
        self.stack = Stack(config, norm_eps) if config.num_layers else None

    def forward(
        self,
        x_BSD: Tensor,
        is_audio_BS1: Tensor,
        attend: Attend,
        cache: KVCache | None = None,
        steps: Steps | None = None,
    ) -> Tensor:
        """`[B, S, D]` -> `[B, S, D]`, zero wherever `is_audio_BS1` (of the dtype of x) is 0."""
        masked_BSD = x_BSD * is_audio_BS1
        if self.stack is None:
            return masked_BSD
        out_BSD: Tensor = self.stack(masked_BSD, attend, cache, steps) * is_audio_BS1
        return out_BSD
