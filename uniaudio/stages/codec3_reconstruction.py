"""Phase `reconstruction`: the three reconstruction groups and the flow, over a reasoning branch that is frozen, moving
averages included.

Loss: flow + 0.1 phone + 0.5 commitment, the weights of the released trainer.
"""

from uniaudio.stages.codec_phase import CodecPhase, check_size


def reconstruction(size: str = "debug") -> CodecPhase:
    """Phase 3 at `size`; one that cannot be trained is a `UsageError`."""
    check_size(size)
    if size == "debug":
        return CodecPhase(
            name="reconstruction",
            trains=("reconstruction", "flow"),
            # Half of it, and the flow does without the codes: it first learns what is common to all clips.
            num_steps=500,
            num_unquantized_steps=80,
            num_clips=8,
            crop_samples=96_000,
            learning_rate=4e-3,
            max_gradient_norm=2.0,
            checkpoint_every=125,
            log_every=40,
            num_held_out=12,
        )
    return CodecPhase(
        name="reconstruction",
        trains=("reconstruction", "flow"),
        num_steps=40_000,
        num_unquantized_steps=4_000,
        num_clips=16,
        crop_samples=115_200,
        learning_rate=1e-3,
        max_gradient_norm=2.0,
        checkpoint_every=200,
        log_every=100,
        num_held_out=48,
    )
