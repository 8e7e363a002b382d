"""The depth transformer: predicts the 8 codes of one frame, one after the other, from one hidden state of the trunk.

Its sequence is `[hidden, code 0, ..., code 6]`, projected to its own width, at positions 0..7; output q predicts code
q through head q.

Shapes: N frames, Q codebooks, C depth width, V ids of one stream.
"""

import torch
from torch import Tensor, nn

from uniaudio.lm.blocks import Attend, Stack
from uniaudio.lm.cache import KVCache
from uniaudio.lm.config import LMConfig
from uniaudio.lm.rope import Rotation, rotation


class LocalDecoder(nn.Module):
    """A stack over the codebook axis."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.stack = Stack(config.local_decoder, config.norm_eps)

    def forward(self, x_NQC: Tensor) -> Tensor:
        """All codebooks at once, teacher-forced."""
        positions_1Q = torch.arange(x_NQC.shape[1], device=x_NQC.device)[None]
        states_NQC: Tensor = self.stack(x_NQC, Attend(self._rotation(positions_1Q)))
        return states_NQC

    def allocate_cache(self, num_frames: int, like: Tensor) -> KVCache:
        """A cache for the codebooks of `num_frames` frames."""
        return KVCache(self.config.local_decoder, num_frames, self.config.num_codebooks, like)

    def rotations(self, device: torch.device) -> list[Rotation]:
        """The rotation of each codebook."""
        all_codebooks = self._rotation(torch.arange(self.config.num_codebooks, device=device)[None])
        return [
            Rotation(cos=all_codebooks.cos[:, :, at : at + 1], sin=all_codebooks.sin[:, :, at : at + 1])
            for at in range(self.config.num_codebooks)
        ]

    def step(self, x_NC: Tensor, codebook: int, cache: KVCache) -> Tensor:
        """One codebook of all frames: `[N, C]` -> `[N, C]`."""
        turn = self.rotations(x_NC.device)[codebook]
        attend = Attend(turn, slots=codebook, num_keys=codebook + 1)
        state_NC: Tensor = self.stack(x_NC[:, None], attend, cache)[:, 0]
        return state_NC

    def _rotation(self, positions_1Q: Tensor) -> Rotation:
        return rotation(self.config.rope, positions_1Q, self.config.local_decoder.head_size)


class AudioHead(nn.Module):
    """One linear head a codebook, `weight` `[Q, C, V]`."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        shape = (config.num_codebooks, config.local_decoder.width, config.audio_size)
        self.weight = nn.Parameter(torch.empty(shape))

    def forward(self, x_NQC: Tensor) -> Tensor:
        """`[N, Q, C]` -> `[N, Q, V]`."""
        return torch.bmm(x_NQC.transpose(0, 1), self.weight).transpose(0, 1)

    def codebook(self, x_NC: Tensor, codebook: int) -> Tensor:
        """Logits of one codebook, `[N, C]` -> `[N, V]`."""
        return x_NC @ self.weight[codebook]
