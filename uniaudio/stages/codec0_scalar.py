"""Phase `scalar`: the waveform autoencoder whose latents the flow will draw.

Loss: absolute error of the waveform plus spectral distances at several resolutions; at `starter` also what discriminators
of the spectrum say (adversarial and feature-matching losses), which `debug` is too short for.

The autoencoder starts as a cosine transform and learns the waveform with noise for rounding in the first half: with fresh weights
nearly all latents round to 0, and what is decoded is the level of the audio and little else.
"""

from uniaudio.stages.codec_phase import AdversarialSettings, CodecPhase, check_size


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
        num_steps=40_000,
        num_unquantized_steps=20_000,
        num_clips=8,
        crop_samples=19_200,
        learning_rate=5e-4,
        weight_decay=0.0,
        betas=(0.8, 0.99),
        adversarial=AdversarialSettings(weight=1.0, feature_weight=2.0, channels=8, num_spectral_steps=38_000),
        checkpoint_every=200,
        log_every=100,
        num_held_out=48,
    )
