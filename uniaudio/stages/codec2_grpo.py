"""Phase `grpo`: reinforcement learning of the reasoning branch from judged descriptions (group-relative policy
optimization). It goes on with the text decoder of phase `reasoning`, which must come right before it.

Loss: policy + 0.25 commitment + 0.1 supervised; codebooks never move. The numbers of `starter` are those that the codec's
specification proposes; the released training of this phase is not published.
"""

from uniaudio.stages.codec_phase import TASKS, CodecPhase, GrpoSettings, check_size

# The codebooks are left out: rollouts and updates must read the same ones.
TRAINED_PARTS = (
    "reasoning.whisper_down",
    "reasoning.merge",
    "reasoning.query_transformer",
    "reasoning.quantizer.project_in",
    "reasoning.quantizer.project_out",
)


def grpo(size: str = "debug") -> CodecPhase:
    """Phase 2 at `size`; one that cannot be trained is a `UsageError`."""
    check_size(size)
    if size == "debug":
        return CodecPhase(
            name="grpo",
            trains=TRAINED_PARTS,
            num_steps=60,
            num_clips=8,
            crop_samples=192_000,
            learning_rate=1e-3,
            codec_rate=0.1,
            weight_decay=0.0,
            commitment_weight=0.25,
            tasks=TASKS,
            grpo=GrpoSettings(max_answer_tokens=160, num_frozen_steps=20),
            checkpoint_every=30,
            log_every=10,
            num_held_out=12,
        )
    return CodecPhase(
        name="grpo",
        trains=TRAINED_PARTS,
        num_steps=4_000,
        num_clips=64,
        crop_samples=720_000,
        learning_rate=5e-6,
        codec_rate=0.1,
        weight_decay=0.0,
        commitment_weight=0.25,
        tasks=TASKS,
        grpo=GrpoSettings(num_frozen_steps=1_000),
        checkpoint_every=200,
        log_every=20,
        num_held_out=32,
    )
