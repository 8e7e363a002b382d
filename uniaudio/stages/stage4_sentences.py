"""Stage 4, mid-training on auditory sentences: twice the context, and examples of 2 to 8 related segments, which
few-shot use needs, with few-shot examples themselves among them. The other tasks are rehearsed: with a weight of 1, or
with twice the learning rate, captions got worse.
"""

from dataclasses import replace

from uniaudio.stages.config import OTHERS, MixturePhase, StageConfig
from uniaudio.stages.sizes import lengths_of
from uniaudio.stages.stage3_pretraining import SENTENCES_GROUP, stage3_pretraining


def stage4_sentences(size: str = "debug") -> StageConfig:
    stage3, lengths = stage3_pretraining(size), lengths_of(size)
    return replace(
        stage3,
        name="stage4",
        # Auditory sentences are the paper's; that the rest is rehearsed, and the shares, are ours.
        mixture=(MixturePhase(first_step=0, weights=(("text_only", 16.0), (SENTENCES_GROUP, 16.0), (OTHERS, 8.0))),),
        # The paper's, as the context, which is twice that of stage 3; the rows are its tokens over both.
        num_steps=lengths.num_steps["stage4"],
        context=2 * stage3.context,
        num_rows=lengths.num_rows["stage4"],
        micro_rows=max(1, stage3.micro_rows // 2),
        # Ours: captions of a starter model got worse at twice that.
        learning_rate=stage3.learning_rate / 4,
    )
