"""Phase `reasoning`: supervised fine-tuning of the reasoning branch. A causal text decoder reads the quantized frames as
soft tokens and must write the transcript or caption, or answer questions (`tasks`); it starts without quantization, then
the codebooks are placed by k-means and switched on. The decoder is a small one of bytes, or a language model with LoRA
(`text_model`).
"""

from uniaudio.stages.codec_phase import TASKS, CodecPhase, check_size


def reasoning(size: str = "debug") -> CodecPhase:
    """Phase 1 at `size`; one that cannot be trained is a `UsageError`."""
    check_size(size)
    if size == "debug":
        return CodecPhase(
            name="reasoning",
            trains=("reasoning",),
            num_steps=240,
            num_unquantized_steps=80,
            num_clips=8,
            crop_samples=192_000,
            learning_rate=2e-3,
            commitment_weight=1.0,
            tasks=TASKS,
            checkpoint_every=120,
            log_every=40,
            num_held_out=12,
        )
    return CodecPhase(
        name="reasoning",
        trains=("reasoning",),
        num_steps=4_000,
        num_unquantized_steps=800,
        num_clips=16,
        crop_samples=720_000,
        learning_rate=1.5e-3,
        commitment_weight=1.0,
        checkpoint_every=200,
        log_every=250,
        num_held_out=48,
        tasks=TASKS,
    )
