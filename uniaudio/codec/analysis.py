"""What the reasoning codes of a clip tell, in words: that they are text-aligned can be read, not only believed.

Reads    codes of a clip
Row out  Analysis(first_s=0.0, spelled="let's go", answers={"What is said?": "let's go", "Describe the audio.": "a man speaks"})

The paper asks its text decoder the same (its analyses of phase 1); a clip is read in pieces of 30 s.
"""

# Shapes: R reasoning frames (5 Hz), D codec width, Q levels

from dataclasses import dataclass

import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import REASONING_HOP, SAMPLE_RATE
from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.codec.text_decoder import MAX_FRAMES, QUESTIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """One piece of a clip."""

    first_s: float
    """Start of the piece in seconds."""
    spelled: str | None
    """Text that the CTC head spells; None where the codec has no such head."""
    answers: dict[str, str]
    """Question -> the text decoder's answer; empty where the codec keeps none."""


def analyse(codec: ReasoningCodec, codes: Codes) -> list[Analysis]:
    """The pieces of a clip in order. A codec that keeps neither CTC head nor text decoder is a `UsageError`."""
    if codec.text is None and codec.reasoning.ctc is None:
        raise UsageError(
            f"`model` must be a codec that keeps a text decoder or a CTC head, but one of size {codec.config.size} has none."
        )
    codes_RQ = torch.from_numpy(codes.reasoning.astype("int64")).to(codec.device)
    with torch.no_grad():
        reasoning_RD = codec.reasoning.quantizer.decode(codes_RQ[None])[0]
    return [
        _piece(codec, reasoning_RD[first : first + MAX_FRAMES], first)
        for first in range(0, len(reasoning_RD), MAX_FRAMES)
    ]


def _piece(codec: ReasoningCodec, reasoning_RD: torch.Tensor, first: int) -> Analysis:
    questions = list(QUESTIONS.values())
    return Analysis(
        first_s=first * REASONING_HOP / SAMPLE_RATE,
        spelled=None if codec.reasoning.ctc is None else codec.reasoning.ctc.texts(reasoning_RD[None])[0],
        answers={}
        if codec.text is None
        else dict(zip(questions, codec.text.answers(reasoning_RD, questions), strict=True)),
    )
