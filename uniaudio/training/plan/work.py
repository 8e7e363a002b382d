"""What a stage computes with, as far as neither the paper nor a configuration says it. One choice each, with its reason.

Shares are of positions; a position is one text token or one audio frame of 8 codes.
"""

from dataclasses import dataclass

from uniaudio.lm.config import LMConfig
from uniaudio.text.tokenizer import ByteTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    audio: float
    """Share of positions that are audio frames."""
    text_targets: float
    audio_targets: float


WORK: dict[str, Work] = {
    "text_warmup": Work(audio=0.0, text_targets=1.0, audio_targets=0.0),
    # Ten seconds are 179 frames, the transcript or caption of them some 30 tokens, of which the answer is the target.
    "stage1": Work(audio=0.85, text_targets=0.15, audio_targets=0.0),
    # The same clips the other way round: the text is asked with, the frames are written.
    "stage2": Work(audio=0.85, text_targets=0.0, audio_targets=0.85),
    # 60B audio and 100B text tokens in all stages together (readme of the authors). Half of the audio is heard, half written.
    "stage3": Work(audio=0.375, text_targets=0.6, audio_targets=0.19),
    "stage4": Work(audio=0.375, text_targets=0.6, audio_targets=0.19),
    # Half conversations, a sixth text, a third the other tasks (decision 16). Of a conversation about ten seconds three quarters are
    # frames, a third of them written; an eighth are tokens of answers. The other tasks are as in stages 1 and 2, half and half.
    "stage5": Work(audio=0.66, text_targets=0.25, audio_targets=0.26),
    # Both halves of a pair are computed and both answers are targets. Kinds of pairs alike: in three of five ten seconds are heard
    # and some ten tokens answered, in one some thirty, in one the frames are written, of which the worse answer may be half as many.
    "stage6": Work(audio=0.84, text_targets=0.07, audio_targets=0.16),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ids:
    """Sizes of a vocabulary, as `LMConfig.preset` asks for them."""

    text_size: int
    audio_size: int
    num_codebooks: int = 8
    fingerprint: str = ""


# LLaMA-3.2's 128,256 ids and 4,100 + 8,200 of audio (lm.md 1.2).
_RELEASED = Ids(text_size=128_256, audio_size=12_300)
IDS: dict[str, Ids] = {
    "debug": Ids(text_size=ByteTokenizer.num_ids, audio_size=204),
    "starter": Ids(text_size=ByteTokenizer.num_ids, audio_size=2_060),
    "paper_1b": _RELEASED,
    "paper_3b": _RELEASED,
}


def config_of(size: str) -> LMConfig:
    """The model of a size, with the ids of `IDS`."""
    return LMConfig.preset(size, IDS.get(size, _RELEASED))
