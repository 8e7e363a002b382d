"""Phase `scalar`: waveform through rounded latents and back; spectral losses, and adversarial ones where the phase has
them.

While the latents are not rounded yet, the loss is the squared error of the waveform with a tenth of the spectral losses.

Row in   step 17
Row out  {"loss": 7.3, "spectral": 5.1, "adversarial": 1.0, "features": 0.6, "discriminator": 1.9}
"""

# Shapes: B batch, N samples

import torch
from torch import Tensor, nn

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.scalar import ScalarAutoencoder
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop
from uniaudio.training.codec.discriminators import Discriminators, adversarial_loss, discriminator_loss, feature_loss
from uniaudio.training.codec.losses import relative_error, waveform_loss
from uniaudio.training.codec.objective import HeldOut, Losses, Share, drawn_crops, first_crops, mean
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

    def losses(self, step: int, share: Share) -> Losses:
        crops = self.crops(step)
        if step == 0 and self.phase.num_unquantized_steps:
            assert isinstance(self.codec.scalar, ScalarAutoencoder)
            # All crops on every worker, lest each starts from another scale.
            start_as_transform(self.codec.scalar, self.train.crops(crops))
        recorded_BN = self.train.crops(crops[share.rank :: share.world_size])
        decoded_BN = self._decoded(recorded_BN, step)
        spectral = waveform_loss(decoded_BN, recorded_BN)
        if step < self.phase.num_unquantized_steps:
            return {"loss": relative_error(decoded_BN, recorded_BN) + START_SPECTRAL_WEIGHT * spectral}
        if self.discriminators is None or step < self.phase.adversarial.num_spectral_steps:
            return {"loss": spectral}
        return self._adversarial(self.discriminators, recorded_BN, decoded_BN, spectral)

    @torch.no_grad()
    def held_out(self, step: int) -> HeldOut:
        """The spectral loss: what the discriminators say moves with them."""
        clips = self.held_out_clips
        waveforms = [clips.crops([crop]) for crop in first_crops(clips, self.phase)]
        return HeldOut(mean([waveform_loss(self.codec.scalar(waveform_BN), waveform_BN) for waveform_BN in waveforms]))

    def _decoded(self, recorded_BN: Tensor, step: int) -> Tensor:
        """The audio decoded from rounded latents; at first from noisy ones, which teach the encoder to stand out from the noise."""
        if step >= self.phase.num_unquantized_steps:
            decoded_BN: Tensor = self.codec.scalar(recorded_BN)
            return decoded_BN
        shape = (len(recorded_BN), recorded_BN.shape[1] // LATENT_HOP, self.codec.config.scalar.latent_dim)
        return self.codec.scalar.unrounded(recorded_BN, 2 * torch.rand(shape, device=recorded_BN.device) - 1)

    def _adversarial(
        self, discriminators: Discriminators, recorded_BN: Tensor, decoded_BN: Tensor, spectral: Tensor
    ) -> Losses:
        settings = self.phase.adversarial
        with discriminators.as_judge():
            scores = discriminators(decoded_BN)
            with torch.no_grad():
                recorded = discriminators(recorded_BN)
        adversarial, features = adversarial_loss(scores), feature_loss(recorded, scores)
        told_apart = discriminator_loss(discriminators(recorded_BN), discriminators(decoded_BN.detach()))
        loss = spectral + settings.weight * adversarial + settings.feature_weight * features + told_apart
        return {
            "loss": loss,
            "spectral": spectral,
            "adversarial": adversarial,
            "features": features,
            "discriminator": told_apart,
        }
