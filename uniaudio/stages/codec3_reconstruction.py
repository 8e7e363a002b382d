"""Phase `reconstruction`: the three reconstruction groups and what finds latents from them, over a reasoning branch that is
frozen, moving averages included.

`debug` trains the flow at once. Loss: flow + 0.1 phone + 0.5 commitment, the weights of the released trainer.

`starter` trains the codes with the mean of the latents alone, and leaves the flow, which tells the codes nothing, to phase
`decoder`. Loss: log-mel distance + 0.1 phone + 0.2 commitment, a choice between the two that were tried (0.5 and 0.05). Many
steps of few short crops.
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
        trains=("reconstruction", "flow.mean"),
        num_steps=20_000,
        num_unquantized_steps=300,
        num_clips=10,
        crop_samples=38_400,
        learning_rate=1e-3,
        commitment_weight=0.2,
        intelligibility_weight=0.5,
        film_dropout=0.05,
        max_gradient_norm=2.0,
        checkpoint_every=200,
        log_every=200,
        num_held_out=48,
    )
