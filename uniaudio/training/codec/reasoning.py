"""Phase `reasoning`: what is said and heard, written by a text decoder that reads the reasoning frames as soft tokens; and,
where the codec has a CTC head, the transcripts that the frames spell.

Row in   step 17 of phase `reasoning`
Row out  {"loss": 3.8, "text": 2.1, "ctc": 1.5, "commitment": 0.2}
"""

# Shapes: B batch, T frames (25 Hz), R reasoning frames (5 Hz), D width

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import DataError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.ctc import CtcHead
from uniaudio.codec.text_decoder import MAX_FRAMES, MAX_TEXT_BYTES, TextDecoder
from uniaudio.codec.text_policy import TextPolicy
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop, TrainingClip, padded_features
from uniaudio.training.codec.examples import Example, examples
from uniaudio.training.codec.objective import (
    LATENTS_PER_UNIT,
    REASONING_PER_UNIT,
    HeldOut,
    Losses,
    Share,
    drawn_clips,
    mean,
    places,
    shared,
    shares,
)

log = logging.getLogger(__name__)

FRAMES_PER_REASONING = LATENTS_PER_UNIT // REASONING_PER_UNIT


class ReasoningObjective:
    """Texts about whole clips, written from their reasoning frames."""

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet) -> None:
        self.codec, self.phase = codec, phase
        self.train, self.held_out_clips = with_text(phase, train, "clips"), with_text(phase, held_out, "held_out")
        # A codec that has codes already goes on with them.
        self._num_unquantized = 0 if codec.reasoning.quantizer.is_placed else phase.num_unquantized_steps
        self.policy = build_policy(codec, phase)
        self.teacher: nn.Module = self.policy
        if codec.reasoning.ctc is not None:
            _tell_unspelled(codec.reasoning.ctc, self.train)

    def crops(self, step: int) -> list[Crop]:
        return drawn_clips(self.train, self.phase, step)[1]

    def reads(self, crop: Crop) -> bool:
        return not self.train.has_features(crop.clip)

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        generator, crops = drawn_clips(self.train, self.phase, step)
        asked = [draw_example(self.train.clips[crop.clip], self.phase, generator) for crop in crops]
        mine = places(len(crops), share, self.phase.micro_clips)
        clips = [[crops[place].clip for place in one] for one in mine]
        examples = [[asked[place] for place in one] for one in mine]
        if len(mine) > 1 and step >= self._num_unquantized and not self.codec.reasoning.quantizer.is_placed:
            self._place(clips)
        share_of = shares([self._counts(*one) for one in zip(clips, examples, strict=True)])
        for some_clips, some_examples, weights in zip(clips, examples, share_of, strict=True):
            terms = self._terms(self.train, some_clips, some_examples, step)
            yield self._with_loss(shared(terms, weights))

    @torch.no_grad()
    def held_out(self, step: int) -> HeldOut:
        chosen = range(min(len(self.held_out_clips), self.phase.num_held_out))
        loss = mean([self._held_out_text(index, index, step) for index in chosen])
        if len(chosen) < 2:
            return HeldOut(loss)
        others = [self._held_out_text(index, (index + 1) % len(chosen), step) for index in chosen]
        return HeldOut(loss, mean(others) - loss)

    def _held_out_text(self, index: int, heard: int, step: int) -> Tensor:
        """Nats a token of the text of clip `index` where clip `heard` is heard."""
        asked = draw_example(self.held_out_clips.clips[index], self.phase, np.random.default_rng(index))
        losses = self._terms(self.held_out_clips, [heard], [asked], step, told=[index])
        return torch.stack([losses[name] for name in ("text", "ctc") if name in losses]).sum()

    @torch.no_grad()
    def _place(self, clips: Sequence[list[int]]) -> None:
        """Place the codebooks by the frames of all passes, as one pass would by its own."""
        hidden = []
        for indices in clips:
            features, valid_BT = padded_features([self.train.features(index) for index in indices])
            hidden.append(self.codec.reasoning.hidden(features, valid_BT)[valid_BT[:, ::FRAMES_PER_REASONING]])
        self.codec.reasoning.quantizer.place(torch.cat(hidden))

    def _counts(self, indices: list[int], asked: list[Example]) -> dict[str, float]:
        """What the mean of each term of these clips is taken over."""
        num_frames = [int(units) * REASONING_PER_UNIT for units in self.train.num_units[indices]]
        answers, questions = [one.answer for one in asked], [one.question for one in asked]
        counts = {"commitment": sum(num_frames), "text": self.policy.num_targets(answers, questions)}
        if self.codec.reasoning.ctc is not None:
            transcripts = [self.train.clips[index].facts.transcript for index in indices]
            counts["ctc"] = self.codec.reasoning.ctc.num_targets(transcripts, num_frames)
        return {name: float(count) for name, count in counts.items()}

    def _with_loss(self, terms: Losses) -> Losses:
        weights = {"text": 1.0, "ctc": self.phase.ctc_weight, "commitment": self.phase.commitment_weight}
        return {"loss": torch.stack([weights[name] * loss for name, loss in terms.items()]).sum(), **terms}

    def _terms(
        self,
        clips: ClipSet,
        indices: list[int],
        asked: list[Example],
        step: int,
        told: list[int] | None = None,
    ) -> Losses:
        """`told`: the clips whose transcripts are to be read, unless they are the clips' own."""
        features, valid_BT = padded_features([clips.features(index) for index in indices])
        questions, answers = [one.question for one in asked], [one.answer for one in asked]
        valid_BR = valid_BT[:, ::FRAMES_PER_REASONING]
        losses: Losses = {}
        if step < self._num_unquantized:
            reasoning_BRD = self.codec.reasoning.unquantized(features, valid_BT)
        else:
            reasoned = self.codec.reasoning(features, valid_BT)
            reasoning_BRD, losses["commitment"] = reasoned.quantized, reasoned.commitment.sum()
        losses["text"] = self.policy(reasoning_BRD, valid_BR, answers, questions)
        if self.codec.reasoning.ctc is not None:
            transcripts = [clips.clips[index].facts.transcript for index in told or indices]
            losses["ctc"] = self.codec.reasoning.ctc.loss(reasoning_BRD, valid_BR, transcripts)
        return losses


def _tell_unspelled(ctc: CtcHead, clips: ClipSet) -> None:
    """Log how many transcripts have more bytes than their frames have slots: the CTC head does not learn from them."""
    frames = clips.num_units * REASONING_PER_UNIT
    spoken = [
        (clip.facts.transcript, int(num))
        for clip, num in zip(clips.clips, frames, strict=True)
        if clip.facts.transcript
    ]
    unspelled = sum(not ctc.fits(text, num) for text, num in spoken)
    if unspelled:
        log.warning("%d of %d transcripts are too long for their frames and are not spelled", unspelled, len(spoken))


def build_policy(codec: ReasoningCodec, phase: CodecPhase) -> TextPolicy:
    """The text decoder that the phase describes: a fresh one, or the codec's own."""
    if phase.text_model:
        from uniaudio.training.codec.text_llm import TextLLM, load_model

        loaded = load_model(phase.text_model, codec.device)
        policy = TextLLM(codec.config.dim, loaded, rank=phase.lora_rank, dropout=phase.lora_dropout)
        return policy.to(codec.device)
    if codec.text is not None:
        return codec.text
    decoder = TextDecoder(
        codec.config.dim, num_layers=phase.num_teacher_layers, max_bytes=MAX_TEXT_BYTES, max_frames=MAX_FRAMES
    )
    return decoder.to(codec.device)


def draw_example(clip: TrainingClip, phase: CodecPhase, generator: np.random.Generator) -> Example:
    """One of what may be asked about the clip; without tasks its one text, unasked."""
    if not phase.tasks:
        return Example(task="text", question="", answer=clip.text)
    possible = examples(clip.facts, phase.tasks)
    return possible[int(generator.integers(len(possible)))]


def with_text(phase: CodecPhase, clips: ClipSet, name: str) -> ClipSet:
    """The clips that have a text, or the answer to a task where the phase has tasks."""
    chosen = [clip for clip in clips.clips if (examples(clip.facts, phase.tasks) if phase.tasks else clip.text)]
    if not chosen:
        raise DataError(
            f"codec training: phase `{phase.name}` needs clips with a transcript or caption, but `{name}` has none."
        )
    return clips.subset(chosen)
