"""Tags of music by musicnn (Pons and Serra 2019): which of 50 words listeners would say of it.

Filters as tall as timbres and as long as rhythms, dense layers over time, and the mean and the maximum over 3 s. The weights are
those of the package musicnn (trained on MagnaTagATune), converted to `model.safetensors` beside this class's names.
"""

# Shapes: B patches, T frames of 16 ms, M mel bands, C channels, L labels, N samples

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.mel import mel_bands

MUSICNN_RATE = 16_000
LABELS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient", "beat",
    "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals", "harpsichord", "loud",
    "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man", "classic", "choir", "voice",
    "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal",
    "female voice", "choral",
)  # fmt: skip
"""Labels in the order of the network's outputs."""
PATCH_FRAMES = 187
"""3 s; what the network was trained on."""
_NUM_MELS, _N_FFT, _HOP = 96, 512, 256
_TIMBRE_HEIGHTS, _TIMBRE_CHANNELS = (38, 67), 204
_RHYTHM_LENGTHS, _RHYTHM_CHANNELS = (128, 64, 32), 51
_MIDDLE, _HIDDEN = 64, 200
_FRONT = 2 * _TIMBRE_CHANNELS + 3 * _RHYTHM_CHANNELS
_EPSILON = 1e-3  # of the original's batch normalization
_COMPRESSION = 10_000.0


class MusicTagger(nn.Module):
    """Maps a log mel spectrogram of 3 s to the probability of each label."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.timbres = nn.ModuleList(
            nn.Conv2d(1, _TIMBRE_CHANNELS, (7, height), padding=(3, 0)) for height in _TIMBRE_HEIGHTS
        )
        self.rhythms = nn.ModuleList(nn.Conv1d(1, _RHYTHM_CHANNELS, length) for length in _RHYTHM_LENGTHS)
        channels = [_TIMBRE_CHANNELS] * len(_TIMBRE_HEIGHTS) + [_RHYTHM_CHANNELS] * len(_RHYTHM_LENGTHS)
        self.front_norms = nn.ModuleList(nn.BatchNorm1d(width, eps=_EPSILON) for width in channels)
        self.middle = nn.ModuleList(nn.Conv1d(width, _MIDDLE, 7, padding=3) for width in (_FRONT, _MIDDLE, _MIDDLE))
        self.middle_norms = nn.ModuleList(nn.BatchNorm1d(_MIDDLE, eps=_EPSILON) for _ in range(3))
        pooled = 2 * (_FRONT + 3 * _MIDDLE)
        self.pool_norm = nn.BatchNorm1d(pooled, eps=_EPSILON)
        self.hidden = nn.Linear(pooled, _HIDDEN)
        self.hidden_norm = nn.BatchNorm1d(_HIDDEN, eps=_EPSILON)
        self.output = nn.Linear(_HIDDEN, len(LABELS))

    @classmethod
    def load(cls, path: str | Path) -> "MusicTagger":
        """Load a file of weights with this module's names. Any other file is a `DataError`."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not Path(path).is_file():
            raise UsageError(f"`path` must be a file of a music tagger's weights, but {path} is none.")
        tagger = cls()
        try:
            tagger.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            raise DataError(f"{path}: does not hold the music tagger's weights: {error}") from error
        return tagger.eval()

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """`[B, T, M]` float32 log mel -> `[B, L]` probabilities."""
        normed_B1TM = self.input_norm(mel_BTM[:, None])
        # A filter counts where it fits best among all pitches. Normalization follows the maximum only where its scale
        # is positive, so it comes first, as in the original.
        front = [
            _normed(norm, torch.relu(conv(normed_B1TM))).amax(dim=3)
            for conv, norm in zip(self.timbres, self.front_norms[:2], strict=True)
        ]
        front += [
            self._rhythm(conv, norm, normed_B1TM[:, 0])
            for conv, norm in zip(self.rhythms, self.front_norms[2:], strict=True)
        ]
        layers = [torch.cat(front, dim=1)]
        for conv, norm in zip(self.middle, self.middle_norms, strict=True):
            hidden_BCT = norm(torch.relu(conv(layers[-1])))
            layers.append(hidden_BCT + layers[-1] if len(layers) > 1 else hidden_BCT)
        features_BCT = torch.cat(layers, dim=1)
        # Maximum and mean of a channel lie side by side.
        pooled_BC = torch.stack([features_BCT.amax(dim=2), features_BCT.mean(dim=2)], dim=2).flatten(1)
        hidden_BC = self.hidden_norm(torch.relu(self.hidden(self.pool_norm(pooled_BC))))
        return torch.sigmoid(self.output(hidden_BC))

    def _rhythm(self, conv: nn.Module, norm: nn.Module, normed_BTM: Tensor) -> Tensor:
        """`[B, C, T]`: filters along the time of each mel band, at the band where they fit best."""
        num_patches, num_frames, num_bands = normed_BTM.shape
        (length,) = conv.kernel_size  # type: ignore[misc]
        bands = normed_BTM.transpose(1, 2).reshape(-1, 1, num_frames)
        padded = nn.functional.pad(bands, ((length - 1) // 2, length // 2))
        activation: Tensor = norm(torch.relu(conv(padded)))
        return activation.view(num_patches, num_bands, -1, num_frames).amax(dim=1)

    @torch.inference_mode()
    def tag(self, samples: np.ndarray) -> np.ndarray:
        """`[N]` mono at 16 kHz, N > 256 -> `[50]` float32: the mean probability of each of `LABELS` over patches of 3 s."""
        mel_TM = _log_mel(torch.from_numpy(np.ascontiguousarray(samples, np.float32)))
        num_frames = mel_TM.shape[0]
        if num_frames < PATCH_FRAMES:
            mel_TM = mel_TM.repeat(-(-PATCH_FRAMES // num_frames), 1)[:PATCH_FRAMES]
        starts = range(0, mel_TM.shape[0] - PATCH_FRAMES + 1, PATCH_FRAMES)
        # One at a time: what a patch is called must not depend on how many there are.
        probabilities = [self(mel_TM[None, start : start + PATCH_FRAMES])[0] for start in starts]
        return np.asarray(torch.stack(probabilities).mean(dim=0))


def _normed(norm: nn.Module, values_BCTM: Tensor) -> Tensor:
    """Batch normalization of channels of a plane, by that of a line."""
    num_patches, num_channels, num_frames, num_bands = values_BCTM.shape
    flat = norm(values_BCTM.reshape(num_patches, num_channels, -1))
    return torch.as_tensor(flat).view(num_patches, num_channels, num_frames, num_bands)


def _log_mel(samples_N: Tensor) -> Tensor:
    """`[N]` -> `[T, 96]`."""
    if samples_N.shape[0] <= _N_FFT // 2:
        raise UsageError(f"`samples` must be more than {_N_FFT // 2}, but are {samples_N.shape[0]}.")
    spectrum_FT = torch.stft(samples_N, _N_FFT, _HOP, window=torch.hann_window(_N_FFT), return_complex=True)
    bands_FM = mel_bands(_N_FFT // 2 + 1, _NUM_MELS, MUSICNN_RATE, scale="slaney").to(torch.float32)
    return torch.log10(_COMPRESSION * (spectrum_FT.abs().square().T @ bands_FM) + 1)
