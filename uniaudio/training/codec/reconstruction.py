"""Phase `reconstruction`: latents from the reconstruction codes by flow matching; and phase `decoder`, which tunes what is
behind the codes alone.

Where the flow has a mean, the codes learn from its error alone, and the flow learns what is beside it. Of a spectral
autoencoder that error is the difference of log-mel magnitudes behind its decoder, which weighs what is heard; of another one
the squared error of the latents.

Row in   step 17 of phase `reconstruction`
Row out  {"loss": 1.31, "flow": 0.92, "phone": 0.8, "commitment": 0.62}
"""

# Shapes: B batch, N samples, T frames (12.5 Hz), S latents (25 Hz), L latent channels, R reasoning frames, D width

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.encoders.frozen import Features
from uniaudio.codec.flow_matching import CONTEXT, GENERATE, LATENTS_PER_FRAME, PADDING, frame_weights
from uniaudio.codec.spectral import SpectralAutoencoder
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop, FrozenCache, batch_features, step_generator
from uniaudio.training.codec.draws import Draws
from uniaudio.training.codec.losses import masked_mean_square
from uniaudio.training.codec.objective import (
    FRAMES_PER_UNIT,
    LATENTS_PER_UNIT,
    REASONING_PER_UNIT,
    HeldOut,
    Losses,
    Share,
    drawn_crops,
    first_crops,
    mean,
    neighbors,
    places,
    shared,
    shares,
)
from uniaudio.training.codec.spectral import envelope_error, num_heard_segments, patch_distance, patch_weights

NUM_GAINS = 16
"""Held-out clips behind `HeldOut.gain`."""
NUM_SCALING_CLIPS = 256
"""Clips behind the statistics of the latents."""


class ReconstructionObjective:
    """Latents from the reconstruction codes by flow matching, beside the phone and commitment losses."""

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet) -> None:
        self.codec, self.phase, self.train, self.held_out_clips = codec, phase, train, held_out
        self.teacher: nn.Module = nn.Module()
        self._trains_flow = any(name == "flow" or name.startswith("flow.transformer") for name in phase.trains)
        # Not that of the features: what the branches made goes with the phase.
        self._frozen = FrozenCache()
        # A codec that has codes already goes on with them, and with the statistics of its latents.
        is_new = not all(quantizer.is_placed for quantizer in codec.reconstruction.quantizers.values())
        self._num_unquantized = phase.num_unquantized_steps if is_new else 0
        if is_new and phase.name == "reconstruction" and codec.config.flow.normalizes_latents:
            # A checkpoint to go on from brings its own statistics, which take the place of these.
            fit_scaling(codec, train)

    def crops(self, step: int) -> list[Crop]:
        return drawn_crops(self.train, self.phase, step)[1]

    def reads(self, crop: Crop) -> bool:
        return not (self.train.has_features(crop.clip) and self._frozen.has(self.train.clips[crop.clip], "parts"))

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        generator, crops = drawn_crops(self.train, self.phase, step)
        draws = Draws(self.codec, self.phase, generator, crops, dropout=True)
        mine = places(len(crops), share, self.phase.micro_clips)
        batches = [self._batch(self.train, [crops[place] for place in one], draws.of(one)) for one in mine]
        if len(batches) > 1 and step >= self._num_unquantized:
            self._place(batches)
        for batch, weights in zip(batches, shares([self._counts(batch) for batch in batches]), strict=True):
            yield self._with_loss(shared(self._terms(batch, step), weights))

    @torch.no_grad()
    def held_out(self, step: int) -> HeldOut:
        crops = first_crops(self.held_out_clips, self.phase)
        loss = mean([self._held_out_flow(crop, crop, step) for crop in crops])
        if len(crops) < 2:
            return HeldOut(loss)
        pairs = neighbors(crops[:NUM_GAINS])
        gains = [self._held_out_flow(own, other, step) - self._held_out_flow(own, own, step) for own, other in pairs]
        return HeldOut(loss, mean(gains))

    def _held_out_flow(self, crop: Crop, heard: Crop, step: int) -> Tensor:
        draws = Draws(self.codec, self.phase, step_generator(0, "held out", crop.clip), [crop], dropout=False)
        losses = self._terms(self._batch(self.held_out_clips, [crop], draws, [heard]), step)
        return torch.stack([losses[name] for name in ("flow", "mean") if name in losses]).sum()

    def _batch(self, clips: ClipSet, crops: list[Crop], draws: Draws, heard: list[Crop] | None = None) -> "_Batch":
        """`heard`: the crops whose codes are told, unless they are the crops' own."""
        return _Batch(
            clips=clips,
            heard=heard or crops,
            reasoning_BRD=torch.cat([self._frozen_parts(clips, crop)[0] for crop in heard or crops]),
            latents_BSL=torch.cat([self._frozen_parts(clips, crop)[1] for crop in crops]),
            patches_BSP=torch.cat([self._frozen_parts(clips, crop)[2] for crop in crops]),
            mask_BS=self._mask(clips, crops, draws.num_context),
            draws=draws,
        )

    def _counts(self, batch: "_Batch") -> dict[str, float]:
        """What the mean of each term of the batch is taken over."""
        model, valid_BS = self.codec.scalar, batch.mask_BS != PADDING
        num_frames = float(valid_BS[:, ::LATENTS_PER_FRAME].sum())
        counts = {"phone": num_frames, "commitment": num_frames, "mean": float(valid_BS.sum())}
        counts["flow"] = float(frame_weights(batch.mask_BS, torch.float32).sum())
        if isinstance(model, SpectralAutoencoder):
            counts["mean"] = float(patch_weights(batch.patches_BSP, valid_BS).sum())
            if self.phase.intelligibility_weight:
                centers_M = model.encoder.patches.centers()
                counts["envelopes"] = float(num_heard_segments(batch.patches_BSP, centers_M))
        return counts

    @torch.no_grad()
    def _place(self, batches: "list[_Batch]") -> None:
        """Place the codebooks by the frames of all passes, as one pass would by its own."""
        branch = self.codec.reconstruction
        if all(quantizer.is_placed for quantizer in branch.quantizers.values()):
            return
        modulated = [
            (branch.modulate(batch.features(), batch.reasoning_BRD, batch.draws.film), batch.valid) for batch in batches
        ]
        for group, quantizer in branch.quantizers.items():
            quantizer.place(torch.cat([frames[group][valid_BT] for frames, valid_BT in modulated]))  # type: ignore[operator]

    def _terms(self, batch: "_Batch", step: int) -> Losses:
        features, valid_BT = batch.features(), batch.valid
        branch = self.codec.reconstruction
        commitment = torch.zeros((), device=self.codec.device)
        if step < self._num_unquantized:
            phone_BTD, condition_BTD = branch.unquantized(features, batch.reasoning_BRD, batch.draws.film)
        else:
            result = branch(features, batch.reasoning_BRD, valid_BT, batch.draws.film)
            phone_BTD, condition_BTD, commitment = result.phone, result.condition, result.commitment
        decoding = self._decoding_losses(batch, condition_BTD)
        valid_phones = valid_BT.repeat_interleave(features.phones.shape[1] // valid_BT.shape[1], dim=1)
        phone = masked_mean_square(branch.phone_decoder(phone_BTD), features.phones, valid_phones)
        return {**decoding, "phone": phone, "commitment": commitment}

    def _with_loss(self, terms: Losses) -> Losses:
        decoding = [
            self.phase.intelligibility_weight * loss if name == "envelopes" else loss
            for name, loss in terms.items()
            if name not in ("phone", "commitment")
        ]
        loss = torch.stack(decoding).sum()
        if "phone" in terms:
            loss = loss + self.phase.phone_weight * terms["phone"] + self.phase.commitment_weight * terms["commitment"]
        return {"loss": loss, **terms}

    def _decoding_losses(self, batch: "_Batch", condition_BTD: Tensor) -> Losses:
        """`flow`, `mean` where the flow has one, or the mean alone where the phase trains no more."""
        mask_BS, draws, flow = batch.mask_BS, batch.draws, self.codec.flow
        condition_BSD = condition_BTD.repeat_interleave(LATENTS_PER_FRAME, dim=1)
        padding = self.codec.reconstruction.padding_condition
        condition_BSD = torch.where((mask_BS != PADDING)[..., None], condition_BSD, padding)
        kept_BSD = condition_BSD * draws.keeps_condition[:, None, None]
        if flow.mean is None:
            loss = flow.loss(batch.latents_BSL, kept_BSD, mask_BS, time_B=draws.time, noise_BTL=draws.noise)
            return {"flow": loss}
        mean_BSL = flow.mean(condition_BSD)
        losses = self._mean_errors(mean_BSL, batch)
        if not self._trains_flow:
            return losses
        loss = flow.loss(
            batch.latents_BSL,
            kept_BSD.detach(),
            mask_BS,
            time_B=draws.time,
            noise_BTL=draws.noise,
            mean_BTL=mean_BSL.detach(),
        )
        return {"flow": loss, **losses}

    def _mean_errors(self, mean_BSL: Tensor, batch: "_Batch") -> Losses:
        """How far the regressed mean `[B, S, L]` is from the crops, and how much less intelligible where that has a weight."""
        flow, model, valid_BS = self.codec.flow, self.codec.scalar, batch.mask_BS != PADDING
        if not isinstance(model, SpectralAutoencoder):
            return {"mean": masked_mean_square(mean_BSL, flow.scaling(batch.latents_BSL), valid_BS)}
        patches_BSP = model.decode_patches(flow.scaling.undo(mean_BSL))
        losses = {"mean": patch_distance(patches_BSP, batch.patches_BSP, valid_BS)}
        if self.phase.intelligibility_weight:
            losses["envelopes"] = envelope_error(patches_BSP, batch.patches_BSP, model.encoder.patches.centers())
        return losses

    def _frozen_parts(self, clips: ClipSet, crop: Crop) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized reasoning `[1, R, D]`, latents `[1, S, L]` and patches `[1, S, P]` (none of another autoencoder) of a crop,
        cut from the whole clip's."""
        whole_reasoning, *of_latents = self._frozen.get(
            clips.clips[crop.clip], "parts", lambda: self._whole_parts(clips, crop.clip)
        )
        first, last = crop.first_unit, crop.first_unit + crop.num_units
        latents, patches = (whole[:, first * LATENTS_PER_UNIT : last * LATENTS_PER_UNIT] for whole in of_latents)
        return whole_reasoning[:, first * REASONING_PER_UNIT : last * REASONING_PER_UNIT], latents, patches

    @torch.no_grad()
    def _whole_parts(self, clips: ClipSet, index: int) -> tuple[Tensor, Tensor, Tensor]:
        waveform_1N, model = clips.waveform(index)[None].to(self.codec.device), self.codec.scalar
        latents_1SL = model.encode(waveform_1N)
        patches_1SP = model.patches(waveform_1N) if isinstance(model, SpectralAutoencoder) else latents_1SL[..., :0]
        return self._reasoning(clips, index), latents_1SL, patches_1SP

    @torch.no_grad()
    def _reasoning(self, clips: ClipSet, index: int) -> Tensor:
        """Quantized reasoning `[1, R, D]` of a whole clip."""
        branch = self.codec.reasoning
        return branch.quantizer.decode(branch.quantizer.encode_indices(branch.hidden(clips.features(index))))

    def _mask(self, clips: ClipSet, crops: list[Crop], num_context: list[int]) -> Tensor:
        """`[B, S]`: a context prefix, frames to generate, padding behind the clip's end."""
        num_latents = crops[0].num_units * LATENTS_PER_UNIT
        mask_BS = torch.full((len(crops), num_latents), GENERATE, device=self.codec.device)
        for row, (crop, context) in enumerate(zip(crops, num_context, strict=True)):
            mask_BS[row, :context] = CONTEXT
            num_real = -(-len(clips.clips[crop.clip].samples) // LATENT_HOP) - crop.first_unit * LATENTS_PER_UNIT
            mask_BS[row, max(num_real, 1) :] = PADDING
        return mask_BS


class DecoderObjective(ReconstructionObjective):
    """The flow and the layer before it learn; the codes they read are those of encoding and stay so, bit for bit.

    A share of the crops is told its reasoning codes too (added before `condition_out`, as the released decoder can be).
    """

    def _terms(self, batch: "_Batch", step: int) -> Losses:
        branch = self.codec.reconstruction
        codes_BTQ = torch.cat([self._frozen_codes(batch.clips, crop) for crop in batch.heard])
        reasoning_BTD = branch.reasoning_condition(batch.reasoning_BRD, codes_BTQ.shape[1])
        reasoning_BTD = reasoning_BTD * batch.draws.told_reasoning[:, None, None]
        return self._decoding_losses(batch, branch.condition(codes_BTQ, reasoning_BTD))

    def _place(self, batches: "list[_Batch]") -> None:
        """Nothing: codes are those of encoding."""

    def _frozen_codes(self, clips: ClipSet, crop: Crop) -> Tensor:
        """Reconstruction codes `[1, T, Q]` of a crop, cut from the whole clip's."""
        (codes_1TQ,) = self._frozen.get(clips.clips[crop.clip], "codes", lambda: (self._whole_codes(clips, crop.clip),))
        first = crop.first_unit * FRAMES_PER_UNIT
        return codes_1TQ[:, first : first + crop.num_units * FRAMES_PER_UNIT]

    @torch.no_grad()
    def _whole_codes(self, clips: ClipSet, index: int) -> Tensor:
        branch = self.codec.reconstruction
        return branch.encode(branch.modulate(clips.features(index), self._reasoning(clips, index)))


@torch.no_grad()
def fit_scaling(codec: ReasoningCodec, clips: ClipSet) -> None:
    """Statistics of each channel of the latents, over some clips of the training set: the same ones on every worker."""
    chosen = np.unique(np.linspace(0, len(clips) - 1, NUM_SCALING_CLIPS).astype(int))
    latents = []
    for index in map(int, chosen):
        num_real = -(-len(clips.clips[index].samples) // LATENT_HOP)
        latents.append(codec.scalar.encode(clips.waveform(index)[None].to(codec.device))[0, :num_real])
    codec.flow.scaling.fit(torch.cat(latents))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Batch:
    """One batch: latents to be found, and the crops `heard` that tell the flow about them."""

    clips: ClipSet
    heard: list[Crop]
    reasoning_BRD: Tensor
    """Quantized reasoning of the crops that are heard."""
    latents_BSL: Tensor
    patches_BSP: Tensor
    """What a spectral autoencoder hears of them; of width 0 for another one."""
    mask_BS: Tensor
    draws: Draws

    @property
    def valid(self) -> Tensor:
        """`[B, T]` bool: frames of real audio. Padding is nothing to be learned."""
        return self.mask_BS[:, ::LATENTS_PER_FRAME] != PADDING

    def features(self) -> Features:
        """Encoder states of the crops that are heard."""
        return batch_features(
            [self.clips.features(crop.clip) for crop in self.heard],
            first_unit=[crop.first_unit for crop in self.heard],
            num_units=self.heard[0].num_units,
        )
