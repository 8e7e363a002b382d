"""Decoding: lengths, seeds, batches, guidance, windows without drift or seam, streams, reasoning codes."""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import num_reasoning_frames, num_reconstruction_frames
from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.codec.config.parts import ScalarConfig
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.decoding import (
    LATENTS_PER_FRAME,
    DecodeNoise,
    DecodeSettings,
    decode_pieces,
    draw_latents,
)
from uniaudio.codec.scalar import ScalarAutoencoder, scalar_reach
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("transformers")


def with_windows(window: int, context: int) -> ReasoningCodec:
    """The tiny codec with other decoding windows (latents), weights shared."""
    codec = copy.copy(tiny_codec())
    codec.config = replace(codec.config, decode_window_latents=window, context_latents=context)
    return codec


def drawn_latents(codec: ReasoningCodec, codes_BTQ: torch.Tensor, *more: object) -> torch.Tensor:
    return torch.cat([latents for latents, _ in draw_latents(codec, [codes_BTQ], *more)], dim=1)


def some_codes(num_samples: int, seed: int = 0) -> Codes:
    config, random = tiny_codec().config, np.random.default_rng(seed)
    shapes = ((num_reasoning_frames(num_samples), 8), (num_reconstruction_frames(num_samples), 8))
    sizes = (config.reasoning_codebook_size, config.reconstruction_codebook_size)
    drawn = [random.integers(0, size, shape).astype(np.int16) for shape, size in zip(shapes, sizes, strict=True)]
    return Codes(drawn[0], drawn[1], num_samples)


@pytest.mark.parametrize("num_samples", [1, 2_400, 2_401, 9_600, 24_000, 50_001])
def test_codec_what_is_decoded_is_as_long_as_what_was_encoded(num_samples):
    clip = np.resize(a_waveform(1.0), num_samples)
    codec = with_windows(20, 8)
    codes = codec.encode([clip])
    assert codes[0].num_samples == num_samples
    assert [len(waveform) for waveform in codec.decode(codes, steps=1)] == [num_samples]


@pytest.mark.slow
@pytest.mark.parametrize("duration_s", [0.1, 1.0, 19.9, 20.0, 20.1, 38.5, 60.0, 100.0])
def test_codec_decoding_does_not_drift_from_a_tenth_to_a_hundred_seconds(duration_s):
    codes = some_codes(round(duration_s * 24_000))
    (waveform,) = tiny_codec().decode([codes], steps=1, guidance=1.0)
    assert waveform.shape == (codes.num_samples,)
    assert np.isfinite(waveform).all()


@pytest.mark.parametrize("guidance", [0.0, 1.0, 1.5])
def test_codec_a_batch_of_mixed_lengths_decodes_like_its_clips_alone(guidance):
    clips = [some_codes(n, seed) for seed, n in enumerate((12_000, 5_000, 12_000, 30_000))]
    codec = with_windows(24, 8)
    together = codec.decode(clips, steps=2, guidance=guidance, seed=3)
    for clip, waveform in zip(clips, together, strict=True):
        (alone,) = codec.decode([clip], steps=2, guidance=guidance, seed=3)
        assert np.allclose(alone, waveform, atol=1e-4)


def test_codec_a_seed_decides_the_audio():
    codec, codes = with_windows(24, 8), some_codes(40_000)
    one, same, other = (codec.decode([codes], steps=2, seed=seed)[0] for seed in (7, 7, 8))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize(
    ("settings", "message"), [({"steps": 0}, "`steps`"), ({"guidance": float("nan")}, "`guidance`")]
)
def test_codec_impossible_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        tiny_codec().decode([some_codes(2_400)], **settings)


def test_codec_codes_that_are_none_are_refused_by_name():
    codes = some_codes(24_000)
    for broken, message in [
        (replace(codes, num_samples=30_000), r"Clip 1: `reconstruction` must be \(16, 8\) and not empty"),
        (replace(codes, reconstruction=codes.reconstruction + 128), "`reconstruction` must be 0 to 127"),
        (replace(codes, num_samples=0), "`num_samples` must be a whole number, 1 or more"),
    ]:
        with pytest.raises(UsageError, match=message):
            tiny_codec().decode([codes, broken])
    with pytest.raises(UsageError, match="`reasoning` must be 0 to 63"):
        tiny_codec().decode([replace(codes, reasoning=codes.reasoning - 64)], use_reasoning=True)


SCALARS = {
    "debug": tiny_codec().config.scalar,
    "no pool": ScalarConfig(
        latent_dim=3,
        initial_channels=2,
        strides=(4, 5, 6, 8),
        down_kernel_sizes=(8, 10, 12, 16),
        up_kernel_sizes=(16, 12, 10, 8),
    ),
    "looks ahead everywhere": ScalarConfig(
        latent_dim=3,
        initial_channels=2,
        strides=(4, 6, 10),
        down_kernel_sizes=(8, 12, 20),
        up_kernel_sizes=(20, 12, 8),
        pool_samples=4,
        causal=False,
    ),
}


@pytest.mark.parametrize("name", SCALARS)
def test_codec_the_scalar_decoder_reaches_exactly_as_far_as_its_shapes_say(name):
    config = SCALARS[name]
    torch.manual_seed(0)
    decoder = ScalarAutoencoder(config).decoder.eval().double()
    left, right = scalar_reach(config)
    latents = torch.randn(1, config.latent_dim, left + right + 9, dtype=torch.double, requires_grad=True)
    frame = left + 4
    samples = decoder(latents)[0, frame * LATENT_HOP : (frame + 1) * LATENT_HOP]
    (gradient,) = torch.autograd.grad(samples.abs().sum(), latents)
    reached = gradient[0].abs().sum(dim=0).nonzero()[:, 0]
    assert frame - left <= reached[0] <= frame - left + 1
    assert frame + right - 1 <= reached[-1] <= frame + right


def test_codec_the_waveform_of_windows_is_that_of_one_window():
    """The scalar decoder's windows, given the same latents: no seam at all beyond rounding."""
    codec, codes = with_windows(100, 40), torch.from_numpy(some_codes(400 * LATENT_HOP).reconstruction.astype(np.int64))
    settings = DecodeSettings(steps=1, guidance=1.0)
    pieces = torch.cat(list(decode_pieces(codec, [codes[None]], settings)), dim=1)
    latents = drawn_latents(codec, codes[None], settings)
    with torch.no_grad():
        whole = codec.scalar.decode(latents)
    assert pieces.shape == whole.shape == (1, 400 * LATENT_HOP)
    assert (pieces - whole).abs().max() <= 1e-5 * whole.abs().max()


class _FlowThatKnows(torch.nn.Module):
    """Draws noise plus what the condition says of each frame, and keeps the contexts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[torch.Tensor | None] = []

    def sample(self, condition_BTD, *, num_steps, guidance, noise_BTL, context_BPL):
        self.contexts.append(context_BPL)
        latents = noise_BTL + condition_BTD[..., : noise_BTL.shape[-1]]
        if context_BPL is not None:
            latents[:, : context_BPL.shape[1]] = context_BPL
        return latents


def test_codec_the_context_of_a_window_comes_from_the_same_time():
    """With a flow whose latents depend on their own frame alone, windows must give what a single window gives."""
    codes = torch.from_numpy(some_codes(200 * LATENT_HOP).reconstruction.astype(np.int64))[None]
    drawn = {}
    for window in (40, 200):
        codec = with_windows(window, 16)
        codec._modules = {**codec._modules, "flow": _FlowThatKnows()}
        drawn[window] = drawn_latents(codec, codes, DecodeSettings())
        if window == 40:
            first = 0
            for context in codec.flow.contexts:
                assert context is None or torch.allclose(context, drawn[40][:, first : first + 16])
                first += 40 - 16
            assert len(codec.flow.contexts) == 8
    assert drawn[40].shape == drawn[200].shape == (1, 200, 32)
    assert torch.allclose(drawn[40], drawn[200], atol=1e-6)


def test_codec_a_seam_errs_no_more_than_the_inside_of_a_window():
    """Windows against one window, from the same noise: around the seams the audio is as near as elsewhere, and jumps
    no more from sample to sample."""
    codes = some_codes(600 * LATENT_HOP)
    (windowed,) = with_windows(100, 40).decode([codes], steps=4)
    (single,) = with_windows(600, 40).decode([codes], steps=4)
    error = np.abs(windowed - single)
    seams = np.arange(100, 600, 60) * LATENT_HOP
    near = np.zeros(len(error), bool)
    for seam in seams:
        near[seam - 1_200 : seam + 1_200] = True  # 50 ms on both sides
    near[: 100 * LATENT_HOP] = False
    inside = ~near
    inside[: 100 * LATENT_HOP] = False
    assert error[: 60 * LATENT_HOP].mean() < error.mean()
    assert error[near].mean() <= 1.5 * error[inside].mean()
    assert error.mean() <= 0.5 * np.abs(single).mean()
    jumps = np.abs(np.diff(windowed))
    assert max(jumps[seam - 2 : seam + 2].max() for seam in seams) <= np.quantile(jumps, 0.9999)


def test_codec_a_stream_gives_the_whole_in_pieces_as_windows_are_drawn():
    codec, codes = with_windows(24, 8), some_codes(50_001)
    (whole,) = codec.decode([codes], steps=2, seed=5)
    stream = codec.decode_stream(codes, steps=2, seed=5)
    first = next(stream)
    assert 0 < len(first) < 24 * LATENT_HOP
    pieces = [first, *stream]
    assert len(pieces) > 2
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("num_frames", [1, 12, 13, 20, 28, 31])
def test_codec_codes_that_are_still_written_sound_as_if_they_all_were_there(num_frames: int):
    """Windows of 12 frames that overlap by 4, so 12, 20 and 28 frames end with a window."""
    codec, codes = with_windows(24, 8), some_codes(num_frames * 1_920)
    (whole,) = codec.decode([codes], steps=2, seed=5)
    num_read = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal num_read
        for frame in codes.reconstruction:
            num_read += 1
            yield frame[None]

    pieces, heard_at = [], []
    for piece in codec.decode_frames(frames(), steps=2, seed=5):
        pieces.append(piece)
        heard_at.append(num_read)
    assert np.array_equal(np.concatenate(pieces), whole)
    # Each window sounds at the frame behind it, and the last one at the end.
    assert heard_at == [*range(13, num_frames + 1, 8), num_frames]


def test_codec_noise_goes_by_the_place_of_a_latent_whatever_the_window_and_length():
    """A context of -3 leaves latents out."""
    for latent_dim, num_latents, window, context in itertools.product((1, 8, 34), (1, 7, 90), (2, 20), (-3, 0, 1)):
        whole = DecodeNoise(latent_dim, seed=3).between(0, num_latents + 9)
        noise = DecodeNoise(latent_dim, seed=3)
        for first in range(0, num_latents, window - context):
            last = min(first + window, num_latents)
            assert torch.equal(noise.between(first, last), whole[first:last])


def test_codec_windows_of_a_caller_are_those_of_such_a_codec_and_no_shorter_than_two_contexts():
    codes = some_codes(60_000)
    (own,) = with_windows(24, 8).decode([codes], steps=1)
    (asked,) = with_windows(40, 8).decode([codes], steps=1, window_latents=24)
    assert np.array_equal(own, asked)
    for wrong in (14, 25):
        with pytest.raises(UsageError, match=f"multiple of 2 and 16 or more, but is {wrong}"):
            with_windows(40, 8).decode([codes], window_latents=wrong)


def test_codec_a_frame_outside_the_codebooks_is_refused_when_it_comes():
    frames = some_codes(3 * 1_920).reconstruction
    frames[2, 0] = 9_999
    with pytest.raises(UsageError, match="`reconstruction` must be 0 to"):
        list(tiny_codec().decode_frames([frames[:2], frames[2:]], steps=1))


def test_codec_reasoning_codes_change_the_audio_only_where_they_are_asked_for():
    codec, codes = with_windows(24, 8), some_codes(40_000)
    other = replace(codes, reasoning=some_codes(40_000, seed=9).reasoning)
    without, same = (codec.decode([clip], steps=1)[0] for clip in (codes, other))
    assert np.array_equal(without, same)
    told, differently = (codec.decode([clip], steps=1, use_reasoning=True)[0] for clip in (codes, other))
    assert not np.allclose(told, without, atol=1e-5) and not np.allclose(told, differently, atol=1e-5)


def test_codec_windows_take_the_reasoning_codes_of_their_own_time():
    codec, codes = with_windows(24, 8), some_codes(60_000)
    codes_BTQ, reasoning_BRQ = (
        torch.from_numpy(x.astype(np.int64))[None] for x in (codes.reconstruction, codes.reasoning)
    )
    codec._modules = {**codec._modules, "flow": _FlowThatKnows()}
    with torch.no_grad():
        adapted = codec.reconstruction.reasoning_condition(
            codec.reasoning.quantizer.decode(reasoning_BRQ), codes_BTQ.shape[1]
        )
        condition = codec.reconstruction.condition(codes_BTQ, adapted).repeat_interleave(LATENTS_PER_FRAME, dim=1)
        plain = drawn_latents(codec, codes_BTQ, DecodeSettings())
        told = drawn_latents(codec, codes_BTQ, DecodeSettings(), reasoning_BRQ)
        without = codec.reconstruction.condition(codes_BTQ).repeat_interleave(LATENTS_PER_FRAME, dim=1)
    assert torch.allclose(told - plain, (condition - without)[..., :32], atol=1e-5)


@pytest.mark.slow
def test_codec_compat_encodes_and_decodes_with_the_released_counts():
    codec, clip = tiny_codec(), a_waveform(0.5)
    codes = codec.encode([clip], compat=True)
    assert codes[0].reasoning.shape == (3, 8) and codes[0].reconstruction.shape == (7, 8)
    (waveform,) = codec.decode(codes, steps=1, compat=True)
    assert len(waveform) == 7 * 1_920
