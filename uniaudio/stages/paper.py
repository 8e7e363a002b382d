"""What the paper says of its four stages (section 4.4, B.3, Tables 17-18), and what it does not say and was chosen here.

`tests/uniaudio/stages/test_paper.py` holds the stages of `paper_1b` and `paper_3b` against `PAPER`, line by line.
"""

from dataclasses import dataclass

from uniaudio.stages.config import ALL_MODULES


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperStage:
    trains: tuple[str, ...]
    num_tokens: float
    num_steps: int
    context: int
    text_weight: float
    audio_weight: float
    stream_shares: tuple[float, ...] | None
    """Weight of each stream in the audio loss; None where the paper names none."""
    distils: bool


PAPER: dict[str, PaperStage] = {
    "stage1": PaperStage(
        # Audio understanding warm-up.
        # The paper names the experts; the authors' code trains the table that feeds them too (lm.md 5.1).
        trains=("audio_embedding", "understanding_expert"),
        num_tokens=3e9,
        num_steps=50_000,
        context=1024,
        # The authors' model of stage 1 gives text logits alone (lm.md 5.1).
        text_weight=1.0,
        audio_weight=0.0,
        stream_shares=None,
        distils=True,
    ),
    "stage2": PaperStage(
        # Audio generation warm-up.
        # Projection and audio head are the local decoder's way in and out.
        trains=("generation_expert", "projection", "local_decoder", "audio_head"),
        num_tokens=3e9,
        num_steps=50_000,
        context=1024,
        text_weight=1.0,
        audio_weight=1.0,
        stream_shares=(2 / 8,) * 3 + (1 / 8,) * 5,
        distils=False,
    ),
    "stage3": PaperStage(
        # Audio-text pre-training.
        trains=ALL_MODULES,
        num_tokens=50e9,
        num_steps=500_000,
        context=1024,
        text_weight=1.6,
        audio_weight=1.0,
        stream_shares=None,
        distils=False,
    ),
    "stage4": PaperStage(
        # Audio-text mid-training on auditory sentences.
        trains=ALL_MODULES,
        num_tokens=20e9,
        num_steps=300_000,
        context=2048,
        text_weight=1.6,
        audio_weight=1.0,
        stream_shares=None,
        distils=False,
    ),
}

CHOICES: dict[str, str] = {
    "num_rows": "Tokens over steps over context are 59, 59, 98 and 33 rows: 64, 64, 96 and 32, which more cards divide. Counted in "
    "positions that is 3.3B, 3.3B, 49B and 20B. (The paper's 160B tokens of all stages are more than its stages add up to.)",
    "micro_rows": "One: what fits everywhere. `uniaudio plan train` says how many rows fit a card; fewer passes are faster and, where "
    "the model is sharded, take less memory, since gradients of several passes are kept whole.",
    "learning_rate": "2e-4, the default of the authors' trainer (lm.md 5.3), for stages 1 to 3; a quarter of it in stage 4: at "
    "twice that, captions of a starter model got worse.",
    "warmup_share": "3 % of a stage's steps, then cosine to 0: the authors' predecessor script, which did not read its own "
    "`warmup_steps`. Every stage begins with a new optimizer.",
    "weight_decay": "0.05 on all but norms, betas 0.9 and 0.95, norm of the gradient at most 1: defaults of the authors' trainer.",
    "stream_weights": "Even in stages 3 and 4: the paper names 2/8 and 1/8 for stage 2 alone.",
    "text_weight": "1 in stages 1 and 2, where one head alone has targets: 1.6 would be a learning rate of its own.",
    "distillation_weight": "1 in stage 1, none elsewhere: the target is scaled so that a decoder that says nothing loses 1 a frame, which "
    "is of the size of the text's loss. Target and decoder are ours too (`uniaudio.training.lm.distillation`).",
    "mixture": "Every task of a warm-up stage alike; text 4 times a task in stage 3 and auditory sentences 2 times one in stage 4.",
    "size_exponent": "0: corpora of the paper's size are not read often enough for small ones to need it.",
    "condition_dropout": "0.1, as the authors' loader has it; the paper is silent on guidance.",
    "normalization": "By frames that carry loss. The authors divide by all frames of a batch, so that understanding examples shrink it.",
    "precision": "bfloat16 passes over float32 weights and moments. The authors' predecessor kept bfloat16 weights, which "
    "round small steps away.",
    "deterministic": "Off: the same bits twice is what tests and small runs are compared by, at the price of slower kernels.",
    "recompute": "Blocks, as the authors' `activation_checkpointing`.",
    "context": "Positions, packed with whole examples that do not see each other. The authors put one example into a row.",
    "checkpoint_every": "10,000 steps, the default of the authors' trainer.",
}
"""Field of `StageConfig` -> why it is what it is at `paper_1b` and `paper_3b`. Before stage 1 the paper has LLaMA 3.2's weights
(`backbone` of the flow); `text_warmup` stands in for them where there are none and is no stage of the paper."""
