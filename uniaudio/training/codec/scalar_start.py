"""How the scalar autoencoder starts where a phase says so: as a block cosine transform that keeps the lowest frequencies.

Fresh weights shrink audio layer by layer to latents of hundredths, which all round to 0, and the spectral losses are then
lowest for near silence: the decoder never learns to listen. Here every layer starts as one step of a transform that is
exact up to the latents' number, so the first step already hears the audio below `rate * latent_dim / 2`: 800 Hz for 64
latents a frame of 25 Hz. Residual units start as the identity; the channels the transform leaves free keep fresh weights.
"""

# Shapes: B batch, N samples, C channels in use, S samples of a block (after pooling)

import math
from typing import Any

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.scalar import ResidualUnit, ScalarAutoencoder

DEVIATION = 0.7
"""Standard deviation of each latent before tanh over the waveforms that set the scale."""
SMALLEST_DEVIATION = 1e-3


@torch.no_grad()
def start_as_transform(model: ScalarAutoencoder, waveform_BN: Tensor) -> None:
    """Overwrite the weights of a causal model of one band; `waveform_BN` sets the scale of the latents."""
    config = model.config
    if not config.causal or config.num_bands != 1:
        raise UsageError("`scalar` must be causal and of one band to start as a transform, but is not.")
    for module in model.modules():
        if isinstance(module, ResidualUnit):
            _weight(module.narrow, "original0").zero_()
            module.narrow.bias.zero_()  # type: ignore[operator]
    _one_channel(model)
    steps = _analysis(config.strides, [config.initial_channels * 2 ** (i + 1) for i in range(len(config.strides))])
    for stage, step_CS in zip(model.encoder.stages, steps, strict=True):
        _set_down(stage.convolution, step_CS)
    num_latents = min(config.latent_dim, len(steps[-1]))
    for stage, step_CS, is_first in zip(
        model.decoder.stages, reversed(steps), [True] + [False] * (len(steps) - 1), strict=True
    ):
        _set_up(stage.transposed, step_CS[:num_latents] if is_first else step_CS)
    _set_latents(model, waveform_BN, num_latents)


def _analysis(strides: tuple[int, ...], widths: list[int]) -> list[Tensor]:
    """What each stage does to `stride` frames of the one before, side by side: `[C, stride * C before]`, after which the
    channels are the lowest cosine coefficients of everything below."""
    steps: list[Tensor] = []
    below_CS = torch.ones(1, 1, dtype=torch.float64)
    for stride, width in zip(strides, widths, strict=True):
        blocks_CS = torch.kron(torch.eye(stride, dtype=torch.float64), below_CS)
        num_kept = min(width, len(blocks_CS))
        step_CC = _cosines(blocks_CS.shape[1])[:num_kept] @ torch.linalg.pinv(blocks_CS)
        below_CS = step_CC @ blocks_CS
        steps.append(step_CC.float())
    return steps


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) `[size, size]`, lowest frequency first."""
    index = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * (index[None] + 0.5) * index[:, None]) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows


def _one_channel(model: ScalarAutoencoder) -> None:
    """Channel 0 carries the waveform in and out. Each down-sampling stage ends at a block's first frame, so the decoder,
    which reads one latent ahead, is one frame early before `pool_samples` are undone: here it waits for it."""
    config = model.config
    last = config.kernel_size - 1
    _set_row(model.encoder.convolution_in, 0, 0, last)
    model.encoder.shared_slope.weight.fill_(1.0)
    wait = 1
    if model.encoder.pool is not None and model.decoder.unpool is not None:
        for stage, tap in ((model.encoder.pool, last), (model.decoder.unpool, last - config.pool_samples)):
            stage.slope.weight.fill_(1.0)
            stage.convolution.weight[0].zero_()
            stage.convolution.weight[0, 0, tap] = 1.0
            stage.convolution.bias[0] = 0.0  # type: ignore[index]
        wait = 0
    _set_row(model.decoder.convolution_out, 0, 0, last - wait)


def _set_row(layer: Any, out: int, channel: int, tap: int) -> None:
    """Output `out` is input `channel` at one tap."""
    weight = layer.weight.clone()
    weight[out] = 0.0
    weight[out, channel, tap] = 1.0
    layer.weight = weight
    layer.bias[out] = 0.0


def _set_down(layer: Any, step_CS: Tensor) -> None:
    """A strided convolution whose last `stride` taps are one step of the analysis."""
    weight = layer.weight.clone()
    (stride,) = layer.stride
    num_out, num_in = len(step_CS), step_CS.shape[1] // stride
    weight[:num_out] = 0.0
    weight[:num_out, :num_in, -stride:] = step_CS.view(num_out, stride, num_in).transpose(1, 2).to(weight)
    layer.weight = weight
    layer.bias[:num_out] = 0.0


def _set_up(layer: Any, step_CS: Tensor) -> None:
    """A transposed convolution whose first `stride` taps undo one step of the analysis."""
    weight = layer.weight.clone()
    (stride,) = layer.stride
    num_in, num_out = len(step_CS), step_CS.shape[1] // stride
    weight[:num_in] = 0.0
    undone_SC = torch.linalg.pinv(step_CS.double())
    weight[:num_in, :num_out, :stride] = undone_SC.view(stride, num_out, num_in).permute(2, 1, 0).to(weight)
    layer.weight = weight
    # Here the gains are those of the inputs: what the transform leaves free is silent, but learns.
    _weight(layer, "original0")[num_in:] = 0.0
    layer.bias[:num_out] = 0.0


def _set_latents(model: ScalarAutoencoder, waveform_BN: Tensor, num_latents: int) -> None:
    """Latent k is coefficient k over its deviation; the decoder reads the latents of the frame ahead."""
    inputs_seen: list[Tensor] = []
    out, inner = model.encoder.convolution_out, model.decoder.convolution_in
    hook = out.register_forward_pre_hook(lambda _, inputs: inputs_seen.append(inputs[0]))
    model.encode(waveform_BN)
    hook.remove()
    deviation_C = inputs_seen[0][:, :num_latents].std(dim=(0, 2)).clamp(min=SMALLEST_DEVIATION)
    for index, deviation in enumerate(deviation_C.tolist()):
        _set_row(out, index, index, model.config.kernel_size - 1)
        _set_row(inner, index, index, model.config.look_ahead_kernel_size // 2 + 1)
        _weight(out, "original0")[index] = DEVIATION / deviation
        _weight(inner, "original0")[index] = deviation / DEVIATION


def _weight(layer: nn.Module, name: str) -> Any:
    """A part of the weight norm: `original0` is the gain of each output."""
    return getattr(layer.parametrizations.weight, name)  # type: ignore[union-attr]
