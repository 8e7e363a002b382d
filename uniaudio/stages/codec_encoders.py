"""Phase `encoders`: WavLM (at `debug`) and the music encoder learn to guess hidden frames of the corpus (masked prediction of
random-projection classes), then all other phases find them frozen. Whisper stays as it is.

No size runs it where a job names no phases: encoders that are not given stay random. Frozen features explain less of the mel
spectrogram after some hundred steps of it than before; that figure was not kept.
"""

from uniaudio.stages.codec_phase import CodecPhase, check_size

TRAINED_ENCODERS = ("encoders.wavlm.model", "encoders.music.model")


def encoders(size: str = "debug") -> CodecPhase:
    """The phase before all others at `size`; one that cannot be trained is a `UsageError`."""
    check_size(size)
    if size == "debug":
        return CodecPhase(
            name="encoders",
            trains=TRAINED_ENCODERS,
            num_steps=200,
            num_clips=8,
            crop_samples=48_000,
            learning_rate=2e-3,
            num_targets=64,
            warmup_share=0.1,
            weight_decay=0.01,
            checkpoint_every=100,
            log_every=50,
            num_held_out=12,
        )
    return CodecPhase(
        name="encoders",
        trains=("encoders.music.model",),
        num_steps=20_000,
        num_clips=8,
        crop_samples=76_800,
        learning_rate=5e-4,
        num_targets=1_024,
        warmup_share=0.08,
        weight_decay=0.01,
        checkpoint_every=200,
        log_every=100,
        num_held_out=48,
    )
