"""Text warm-up: the backbone learns to model text before any audio is there.

Ours, not the paper's: the authors start from LLaMA 3.2 weights. Where no pretrained backbone is read (size
`debug`), this stage takes its place. Trains the backbone, the text embedding and the text head on text only.
"""

from uniaudio.stages.config import MixturePhase, StageConfig
from uniaudio.stages.sizes import lengths_of


def text_warmup(size: str = "debug") -> StageConfig:
    lengths = lengths_of(size)
    return StageConfig(
        name="text_warmup",
        trains=("text_embedding", "backbone", "text_head"),
        mixture=(MixturePhase(first_step=0, weights=(("text_only", 1.0),)),),
        num_steps=lengths.num_steps["text_warmup"],
        context=lengths.context,
        num_rows=lengths.num_rows["text_warmup"],
        micro_rows=lengths.micro_rows,
        learning_rate=lengths.learning_rate,
        warmup_share=lengths.warmup_share,
        size_exponent=lengths.size_exponent,
        audio_weight=0.0,
        precision=lengths.precision,
        deterministic=lengths.deterministic,
        recompute=lengths.recompute,
        checkpoint_every=lengths.checkpoint_every,
        log_every=lengths.log_every,
        num_held_out=lengths.num_held_out,
    )
