"""Phase `decoder` (3b): decoder-only tuning. Encoders, both branches and their codebooks stay as phase `reconstruction`
left them, so the codes do not change by a bit; the flow learns on, and half of the crops are told the reasoning codes too.

The released `fine_decoder` mode leaves the modulation before the codebooks to learn, which moves the codes; not here.
"""

from dataclasses import replace

from uniaudio.stages.codec3_reconstruction import reconstruction
from uniaudio.stages.codec_phase import CodecPhase


def decoder(size: str = "debug") -> CodecPhase:
    """Phase 3b at `size`; one that cannot be trained is a `UsageError`."""
    tuned = reconstruction(size)
    phase = replace(
        tuned,
        name="decoder",
        trains=("reconstruction.condition_out", "reconstruction.padding_condition", "flow"),
        num_steps=tuned.num_steps // 2,
        num_unquantized_steps=0,
        learning_rate=tuned.learning_rate / 4,
        reasoning_condition=0.5,
        checkpoint_every=min(tuned.checkpoint_every, tuned.num_steps // 4),
    )
    # At starter the flow learns here alone, and in windows as long as those it decodes in.
    return phase if size == "debug" else replace(phase, num_clips=8, crop_samples=115_200, learning_rate=5e-4)
