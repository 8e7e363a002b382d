"""Join an instruction with the codes of its clips and its text ids: one row of `sequences`.

Row in   {"task": "asr", "segments": [{"kind": "prompt", "text": "Write it."}, {"kind": "reasoning", …}, …]}
Row out  {"task": "asr", "segments": [{"kind": "text", "start": 0, "length": 31, "loss": False}, …],
          "audio_ids": [[64, …], …], "text_ids": [256, …]}
"""

from collections.abc import Mapping

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment
from uniaudio_schemas.kinds.sequences import Sequence, SequenceSegment
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.sequence.segments import PROMPT_SUFFIX, Segment, audio_segment, text_segment
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import TextTokenizer

AUDIO_PROMPT_FRAMES = 37
"""3 s at 12.5 Hz."""
SEGMENT_KINDS = ("prompt", "text", "reasoning", "reconstruction", "audio_prompt")


def build_sequence(
    instruction: Instruction, tokens: Mapping[str, Tokens], tokenizer: TextTokenizer, vocabulary: Vocabulary
) -> Sequence:
    """An instruction joined with its codes and text ids. KeyError, with the clip's id, where a clip has no tokens."""
    laid_out = lay_out_segments(instruction.segments, tokens, tokenizer, vocabulary, seed=instruction.instruction_id)
    segments, text, audio = [], [np.zeros(0, np.int32)], [np.zeros((0, vocabulary.num_codebooks), np.int16)]
    num_text = num_audio = 0
    for segment in laid_out:
        kind, start = ("audio", num_audio) if segment.is_audio else ("text", num_text)
        segments.append(SequenceSegment(kind=kind, start=start, length=len(segment.ids), loss=segment.loss))
        if segment.is_audio:
            audio.append(segment.ids.astype(np.int16))
            num_audio += len(segment.ids)
        else:
            text.append(segment.ids.astype(np.int32))
            num_text += len(segment.ids)
    return Sequence(
        sequence_id=instruction.instruction_id,
        task=instruction.task,
        mixture=instruction.mixture,
        split=instruction.split,
        corpus=instruction.corpus,
        segments=segments,
        audio_ids=np.concatenate(audio),
        text_ids=np.concatenate(text),
        clip_ids=list(instruction.clip_ids),
    )


def lay_out_segments(
    segments: list[InstructionSegment],
    tokens: Mapping[str, Tokens],
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    *,
    seed: str = "",
) -> list[Segment]:
    """Each segment of an instruction, or of a prompt at inference, laid out; `seed` decides where a long audio prompt
    is cut. Reasoning segments are left out where the vocabulary has no codes for them.
    """
    return [
        _lay_out_one(segment, tokens, tokenizer, vocabulary, f"{seed}/{index}")
        for index, segment in enumerate(segments)
        if vocabulary.has_reasoning or segment.kind != "reasoning"
    ]


def _lay_out_one(
    segment: InstructionSegment,
    tokens: Mapping[str, Tokens],
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    seed: str,
) -> Segment:
    match segment.kind:
        case "prompt":
            return text_segment(segment.text + PROMPT_SUFFIX, "", tokenizer, loss=segment.loss)
        case "text":
            return text_segment(segment.text, segment.wrapper, tokenizer, loss=segment.loss)
        case "reasoning":
            codes = tokens[segment.clip_id].reasoning_codes
        case "reconstruction":
            codes = tokens[segment.clip_id].reconstruction_codes
        case "audio_prompt":
            codes = _excerpt(tokens[segment.clip_id].reconstruction_codes, seed)
        case _:
            raise UsageError(f"`kind` must be one of {', '.join(SEGMENT_KINDS)}, but is {segment.kind!r}.")
    return audio_segment(segment.kind, codes, vocabulary, loss=segment.loss)


def _excerpt(codes: np.ndarray, seed: str) -> np.ndarray:
    """3 s of a longer clip, from a place that depends on `seed` alone."""
    num_starts = len(codes) - AUDIO_PROMPT_FRAMES + 1
    if num_starts <= 1:
        return codes
    start = int(hash_bytes(seed.encode())[:12], 16) % num_starts
    return codes[start : start + AUDIO_PROMPT_FRAMES]
