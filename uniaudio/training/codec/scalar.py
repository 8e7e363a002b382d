"""Phase `scalar`: waveform through rounded latents and back; spectral losses, and adversarial ones where the phase has
them.

While the latents are not rounded yet, the loss is the squared error of the waveform with a tenth of the spectral losses.

Spectral losses are relative to the batch, no mean of crops. Where a step has several passes, all crops are decoded first without a
graph, which says how each sample of the decoded audio moves the loss; then each pass decodes again and hands that on.

Row in   step 17
Row out  {"loss": 7.3, "spectral": 5.1, "adversarial": 1.0, "features": 0.6, "discriminator": 1.9}
"""

# Shapes: B batch, N samples

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.scalar import ScalarAutoencoder
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop
from uniaudio.training.codec.discriminators import (
    Discriminators,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    feature_sizes,
)
from uniaudio.training.codec.losses import relative_error, waveform_loss
from uniaudio.training.codec.objective import HeldOut, Losses, Share, drawn_crops, first_crops, mean, places
from uniaudio.training.codec.scalar_start import start_as_transform

START_SPECTRAL_WEIGHT = 0.1
"""Weight of the spectral losses while latents are not rounded. Alone they would be lowest for near silence as long as
nothing is heard."""


class ScalarObjective:
    """Generator and discriminators learn in one step: each part of the loss reaches one of the two."""

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet) -> None:
        self.codec, self.phase, self.train, self.held_out_clips = codec, phase, train, held_out
        self.discriminators: Discriminators | None = None
        if phase.adversarial.weight > 0:
            self.discriminators = Discriminators(phase.adversarial.channels).to(codec.device)
        self.teacher: nn.Module = self.discriminators or nn.Module()

    def crops(self, step: int) -> list[Crop]:
        return drawn_crops(self.train, self.phase, step)[1]

    def reads(self, crop: Crop) -> bool:
        return True

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        crops = self.crops(step)
        if step == 0 and self.phase.num_unquantized_steps:
            assert isinstance(self.codec.scalar, ScalarAutoencoder)
            # All crops on every worker, lest each starts from another scale.
            start_as_transform(self.codec.scalar, self.train.crops(crops))
        mine = places(len(crops), share, self.phase.micro_clips)
        recorded = [self.train.crops([crops[place] for place in one]) for one in mine]
        noise = self._noise(recorded, step)
        if len(mine) == 1:
            decoded_BN = self._decoded(recorded[0], noise[0])
            spectral = self._spectral(decoded_BN, recorded[0], step)
            yield spectral if self._judges(step) is None else self._judged(recorded[0], decoded_BN, spectral["loss"])
        else:
            yield from self._several(recorded, noise, step)

    def _several(self, recorded: list[Tensor], noise: list[Tensor | None], step: int) -> Iterator[Losses]:
        loss, slopes = self._slopes(recorded, noise, step)
        sizes, num_clips = self._feature_sizes(recorded, step), sum(map(len, recorded))
        for recorded_BN, noise_BTL, slope_BN in zip(recorded, noise, slopes, strict=True):
            share_of, decoded_BN = len(recorded_BN) / num_clips, self._decoded(recorded_BN, noise_BTL)
            moved = (decoded_BN * slope_BN).sum()
            # The value of the batch's loss, and the gradient of this pass.
            spectral = share_of * loss + moved - moved.detach()
            terms = {"loss": spectral}
            if self._judges(step) is not None:
                others = self._judged(recorded_BN, decoded_BN, torch.zeros_like(loss), sizes)
                terms = {name: share_of * value for name, value in others.items()}
                terms |= {"loss": terms["loss"] + spectral, "spectral": spectral}
            yield terms

    @torch.no_grad()
    def held_out(self, step: int) -> HeldOut:
        """The spectral loss: what the discriminators say moves with them."""
        clips = self.held_out_clips
        waveforms = [clips.crops([crop]) for crop in first_crops(clips, self.phase)]
        return HeldOut(mean([waveform_loss(self.codec.scalar(waveform_BN), waveform_BN) for waveform_BN in waveforms]))

    def _noise(self, recorded: list[Tensor], step: int) -> list[Tensor | None]:
        """What each pass adds to its latents; at first noise, which teaches the encoder to stand out from it."""
        if step >= self.phase.num_unquantized_steps:
            return [None] * len(recorded)
        num_latents = recorded[0].shape[1] // LATENT_HOP
        shape = (sum(map(len, recorded)), num_latents, self.codec.config.scalar.latent_dim)
        noise_BTL = 2 * torch.rand(shape, device=recorded[0].device) - 1
        return list(noise_BTL.split([len(one) for one in recorded]))

    def _decoded(self, recorded_BN: Tensor, noise_BTL: Tensor | None) -> Tensor:
        """The audio decoded from rounded latents, or from latents with noise."""
        decoded_BN: Tensor = (
            self.codec.scalar(recorded_BN) if noise_BTL is None else self.codec.scalar.unrounded(recorded_BN, noise_BTL)
        )
        return decoded_BN

    def _spectral(self, decoded_BN: Tensor, recorded_BN: Tensor, step: int) -> Losses:
        spectral = waveform_loss(decoded_BN, recorded_BN)
        if step < self.phase.num_unquantized_steps:
            return {"loss": relative_error(decoded_BN, recorded_BN) + START_SPECTRAL_WEIGHT * spectral}
        return {"loss": spectral}

    def _slopes(self, recorded: list[Tensor], noise: list[Tensor | None], step: int) -> tuple[Tensor, list[Tensor]]:
        """The spectral loss of all passes, and for each its gradient at every sample that is decoded."""
        with torch.no_grad():
            decoded = [self._decoded(*one) for one in zip(recorded, noise, strict=True)]
        decoded_BN = torch.cat(decoded).requires_grad_()
        loss = self._spectral(decoded_BN, torch.cat(recorded), step)["loss"]
        (slope_BN,) = torch.autograd.grad(loss, decoded_BN)
        return loss.detach(), list(slope_BN.split([len(one) for one in recorded]))

    def _judges(self, step: int) -> Discriminators | None:
        """The discriminators, where they take part in the step."""
        first_step = max(self.phase.num_unquantized_steps, self.phase.adversarial.num_spectral_steps)
        return self.discriminators if step >= first_step else None

    @torch.no_grad()
    def _feature_sizes(self, recorded: list[Tensor], step: int) -> list[Tensor] | None:
        """What the distance between features is relative to, of all passes."""
        judges = self._judges(step)
        if judges is None:
            return None
        sizes = [feature_sizes(judges(recorded_BN)) for recorded_BN in recorded]
        lengths = torch.tensor([len(one) for one in recorded], dtype=torch.float32, device=recorded[0].device)
        share_P = lengths / lengths.sum()
        return [(torch.stack(of_passes) * share_P).sum() for of_passes in zip(*sizes, strict=True)]

    def _judged(
        self, recorded_BN: Tensor, decoded_BN: Tensor, spectral: Tensor, sizes: list[Tensor] | None = None
    ) -> Losses:
        discriminators, settings = self.discriminators, self.phase.adversarial
        assert discriminators is not None
        with discriminators.as_judge():
            scores = discriminators(decoded_BN)
            with torch.no_grad():
                recorded = discriminators(recorded_BN)
        adversarial, features = adversarial_loss(scores), feature_loss(recorded, scores, sizes)
        told_apart = discriminator_loss(discriminators(recorded_BN), discriminators(decoded_BN.detach()))
        loss = spectral + settings.weight * adversarial + settings.feature_weight * features + told_apart
        return {
            "loss": loss,
            "spectral": spectral,
            "adversarial": adversarial,
            "features": features,
            "discriminator": told_apart,
        }
