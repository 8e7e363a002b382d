"""Phase `scalar`: the waveform autoencoder whose latents the flow will draw.

`debug` has the released kind of autoencoder. Loss: absolute error of the waveform plus spectral distances at several
resolutions. It starts as a cosine transform and learns the waveform with noise for rounding in the first half: with fresh
weights nearly all latents round to 0, and what is decoded is the level of the audio and little else.

`starter` has a spectral one, which starts as the principal components of the corpus and learns the difference of log-mel
magnitudes, with noise for rounding at first; no waveform is made.
"""

from uniaudio.stages.codec_phase import CodecPhase, check_size


def scalar(size: str = "debug") -> CodecPhase:
    """Phase 0 at `size`; one that cannot be trained is a `UsageError`."""
    check_size(size)
    if size == "debug":
        return CodecPhase(
            name="scalar",
            trains=("scalar",),
            num_steps=200,
            num_unquantized_steps=100,
            num_clips=8,
            crop_samples=9_600,
            learning_rate=2e-3,
            weight_decay=0.0,
            checkpoint_every=100,
            log_every=50,
            num_held_out=12,
        )
    return CodecPhase(
        name="scalar",
        trains=("scalar",),
        num_steps=6_000,
        num_unquantized_steps=600,
        num_clips=8,
        crop_samples=19_200,
        learning_rate=1e-3,
        weight_decay=0.01,
        betas=(0.9, 0.99),
        checkpoint_every=500,
        log_every=200,
        num_held_out=48,
    )
