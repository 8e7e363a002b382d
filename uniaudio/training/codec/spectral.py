"""Phase `scalar` of a spectral autoencoder: log-mel patches through rounded latents and back. No waveform is made.

It starts as the linear map to as many numbers, and back, that loses the least energy: the principal components of patches of
the corpus, turned so that every latent has as much of it as any other. The blocks beside that map start silent.

Row in   step 17
Row out  {"loss": 0.21}, in nepers of a mel magnitude
"""

# Shapes: B batch, N patches, T latent frames, P numbers of a patch, L latent channels

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.autoencoder import round_latents
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.patches import LOG_DEVIATION, log_mel_of
from uniaudio.codec.spectral import SpectralAutoencoder
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop
from uniaudio.training.codec.objective import HeldOut, Losses, Share, drawn_crops, first_crops, mean, places, shares

NUM_CLIPS, MAX_PATCHES = 512, 250
"""Clips behind the components, and patches (40 ms) of each."""
DEVIATION = 0.5
"""Standard deviation of a latent before tanh. Most latents lie where tanh is nearly straight, and rounding to ninths is a
small error."""
RIDGE = 1e-6
"""Added to the energy of each latent when the linear decoder is solved for. With fewer patches than latents the solution
would not be unique."""
LEVEL_RANGE, LEAST_WEIGHT = 6.0, 0.05
"""Nepers (52 dB) below the loudest number of a crop, over which its weight falls from 1 to the least one."""
NUM_OCTAVE_BANDS, LOWEST_OCTAVE_BAND_HZ = 15, 150.0
"""Third-octave bands whose envelopes decide how well speech is understood (STOI, Taal et al. 2011)."""
SEGMENT_FRAMES, SEGMENT_HOP = 38, 4
"""Mel frames (10 ms) of one of STOI's segments (384 ms), and from one to the next."""
SILENT_ENERGY = 1e-4
"""Least energy of a segment relative to the loudest of the crop (-40 dB). Quieter segments are not compared."""


class SpectralObjective:
    """Mean absolute difference of log-mel magnitudes."""

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet) -> None:
        self.codec, self.phase, self.train, self.held_out_clips = codec, phase, train, held_out
        self.teacher: nn.Module = nn.Module()
        if phase.adversarial.weight > 0:
            raise UsageError("`adversarial.weight` must be 0 for a spectral autoencoder, which makes no waveform here.")
        # A checkpoint to go on from brings its own weights, which take the place of these.
        start_as_components(self._model, _sample(self._model, train))

    def crops(self, step: int) -> list[Crop]:
        return drawn_crops(self.train, self.phase, step)[1]

    def reads(self, crop: Crop) -> bool:
        return True

    @property
    def _model(self) -> SpectralAutoencoder:
        assert isinstance(self.codec.scalar, SpectralAutoencoder)
        return self.codec.scalar

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        crops = self.crops(step)
        mine = places(len(crops), share, self.phase.micro_clips)
        patches = [self._patches(self.train, [crops[place] for place in one]) for one in mine]
        noises: list[Tensor | None] = [None] * len(patches)
        if step < self.phase.num_unquantized_steps:
            shape = (sum(map(len, mine)), patches[0].shape[1], self.codec.config.scalar.latent_dim)
            noise_BTL = 2 * torch.rand(shape, device=patches[0].device) - 1
            noises = list(noise_BTL.split([len(one) for one in mine]))
        share_of = shares([{"loss": float(patch_weights(one_BTP).sum())} for one_BTP in patches])
        for patches_BTP, noise, weight in zip(patches, noises, share_of, strict=True):
            yield {"loss": weight["loss"] * patch_distance(self._model.passed(patches_BTP, noise), patches_BTP)}

    @torch.no_grad()
    def held_out(self, step: int) -> HeldOut:
        clips = self.held_out_clips
        patches = [self._patches(clips, [crop]) for crop in first_crops(clips, self.phase)]
        return HeldOut(mean([patch_distance(self._model.passed(one_BTP), one_BTP) for one_BTP in patches]))

    def _patches(self, clips: ClipSet, crops: list[Crop]) -> Tensor:
        """`[B, T, P]` on the codec's device."""
        return self._model.patches(clips.crops(crops))


def patch_distance(predicted_BTP: Tensor, target_BTP: Tensor, valid_BT: Tensor | None = None) -> Tensor:
    """Mean absolute difference of log-mel magnitudes, in nepers, over patches where `valid_BT` is True."""
    weight_BTP = patch_weights(target_BTP, valid_BT)
    difference_BTP = (predicted_BTP - target_BTP).float().abs()
    return LOG_DEVIATION * (weight_BTP * difference_BTP).sum() / weight_BTP.sum()


def patch_weights(target_BTP: Tensor, valid_BT: Tensor | None = None) -> Tensor:
    """`[B, T, P]`: what is loud in a crop counts most and what is `LEVEL_RANGE` below it least, since it is masked, or is the noise
    of the recording."""
    level_BTP = LOG_DEVIATION * (target_BTP - target_BTP.amax(dim=(1, 2), keepdim=True))
    weight_BTP = 1 + LEAST_WEIGHT + level_BTP.clamp(min=-LEVEL_RANGE) / LEVEL_RANGE
    return weight_BTP if valid_BT is None else weight_BTP * valid_BT[..., None]


def envelope_error(predicted_BTP: Tensor, target_BTP: Tensor, centers_M: Tensor) -> Tensor:
    """One less the mean correlation of the envelopes of third-octave bands over segments of 384 ms: what STOI measures, of
    patches instead of a waveform. 0 where a crop is shorter than a segment.

    `centers_M`: frequencies of the mel bands (Hz).
    """
    predicted_BtJ, target_BtJ = (
        _octave_magnitudes(patches_BTP, centers_M) for patches_BTP in (predicted_BTP, target_BTP)
    )
    if target_BtJ.shape[1] < SEGMENT_FRAMES:
        return predicted_BTP.sum() * 0
    # [B, segments, J, frames]
    predicted, target = (one.unfold(1, SEGMENT_FRAMES, SEGMENT_HOP) for one in (predicted_BtJ, target_BtJ))
    is_heard_BG1 = _is_heard(target)[..., None]
    predicted, target = (one - one.mean(dim=-1, keepdim=True) for one in (predicted, target))
    norms_BGJ = (predicted.square().sum(dim=-1) * target.square().sum(dim=-1)).clamp(min=1e-12).sqrt()
    error_BGJ = 1 - (predicted * target).sum(dim=-1) / norms_BGJ
    return (error_BGJ * is_heard_BG1).sum() / (is_heard_BG1.sum() * NUM_OCTAVE_BANDS).clamp(min=1)


def num_heard_segments(target_BTP: Tensor, centers_M: Tensor) -> int:
    """Segments of all crops that `envelope_error` compares."""
    target_BtJ = _octave_magnitudes(target_BTP, centers_M)
    if target_BtJ.shape[1] < SEGMENT_FRAMES:
        return 0
    return int(_is_heard(target_BtJ.unfold(1, SEGMENT_FRAMES, SEGMENT_HOP)).sum())


def _is_heard(segments: Tensor) -> Tensor:
    """Which of the segments `[B, segments, J, frames]` are not silent beside the loudest of their crop: `[B, segments]`."""
    energy_BG = segments.square().sum(dim=(2, 3))
    return energy_BG > SILENT_ENERGY * energy_BG.amax(dim=1, keepdim=True)


def _octave_magnitudes(patches_BTP: Tensor, centers_M: Tensor) -> Tensor:
    """`[B, t, J]` float32, of each crop over its largest."""
    band_M = (3 * torch.log2(centers_M / LOWEST_OCTAVE_BAND_HZ)).round()
    members_MJ = band_M[:, None] == torch.arange(NUM_OCTAVE_BANDS, device=band_M.device)
    log_mel_BtM = log_mel_of(patches_BTP.float(), len(centers_M))
    log_mel_BtM = log_mel_BtM - log_mel_BtM.detach().amax(dim=(1, 2), keepdim=True)
    return ((2 * log_mel_BtM).exp() @ members_MJ.float()).clamp(min=1e-10).sqrt()


@torch.no_grad()
def start_as_components(model: SpectralAutoencoder, patches_NP: Tensor) -> None:
    """Overwrite the linear maps of encoder and decoder by components of `patches_NP`, and silence the blocks beside them."""
    encoder, decoder, latent_dim = model.encoder, model.decoder, model.config.latent_dim
    x_NP = patches_NP.double()
    mean_P = x_NP.mean(dim=0)
    covariance_PP = (x_NP - mean_P).T @ (x_NP - mean_P) / len(x_NP)
    energy_P, components_PP = torch.linalg.eigh(covariance_PP)
    kept_PL = components_PP[:, -latent_dim:] @ _turn(latent_dim)
    scale = DEVIATION / energy_P[-latent_dim:].clamp(min=0).mean().sqrt().clamp(min=1e-6)
    encoder.direct.weight.copy_(scale * kept_PL.T)
    encoder.direct.bias.copy_(-scale * (mean_P @ kept_PL))
    latents_NL = round_latents(torch.tanh(scale * (x_NP - mean_P) @ kept_PL))
    middle_L = latents_NL.mean(dim=0)
    moments_LL = (latents_NL - middle_L).T @ (latents_NL - middle_L) / len(latents_NL)
    moments_LL += RIDGE * torch.eye(latent_dim, dtype=x_NP.dtype, device=x_NP.device)
    back_LP = torch.linalg.solve(moments_LL, (latents_NL - middle_L).T @ (x_NP - mean_P) / len(latents_NL))
    decoder.direct.weight.copy_(back_LP.T)
    decoder.direct.bias.copy_(mean_P - middle_L @ back_LP)
    for layer in (encoder.project_out, decoder.project_out):
        layer.weight.zero_()
        layer.bias.zero_()


def _turn(size: int) -> Tensor:
    """A rotation `[L, L]` that spreads every component over all latents, always the same."""
    normal_LL = torch.randn(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotation_LL: Tensor = torch.linalg.qr(normal_LL).Q
    return rotation_LL


def _sample(model: SpectralAutoencoder, clips: ClipSet) -> Tensor:
    """Patches `[N, P]` of clips from all over the set, silence behind them left out: the same ones on every worker."""
    device = next(model.parameters()).device
    patches = []
    for index in np.unique(np.linspace(0, len(clips) - 1, NUM_CLIPS).astype(int)).tolist():
        num_real = -(-len(clips.clips[index].samples) // LATENT_HOP)
        waveform_1N = clips.waveform(index)[None, : MAX_PATCHES * LATENT_HOP].to(device)
        patches.append(model.patches(waveform_1N)[0, :num_real])
    return torch.cat(patches)
