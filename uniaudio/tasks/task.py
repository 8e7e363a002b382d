"""What a task is: which segments an example has, in which order, and which of them the model learns to write.

    ASR = Task(name="asr", order=(*audio("audio"), text("transcript", "transcription", loss=True)), …)
    ASR.instruction(texts={"transcript": "let's go"}, clips={"audio": "5f1c…"}, corpus="queen", split="train")   -> Instruction
    ASR.prompt_segments(clips={"audio": "5f1c…"})       -> what a model is given, up to where its answer begins

A task is one declaration in one module of this package, and one file of prompts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_bytes, hash_json, short
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment, Recipe

from uniaudio.tasks.annotations import NEEDS
from uniaudio.tasks.filling import OneClip
from uniaudio.tasks.prompts import choose_prompt, prompts_of

Kind = Literal["prompt", "text", "reasoning", "reconstruction", "audio_prompt"]
Clip = str | Recipe
"""A clip id of `annotated`, or a recipe of a new clip."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One segment that an example fills with a text or a clip."""

    kind: Kind
    name: str
    """The name of the text or clip; the reasoning and the reconstruction part of one clip share it."""
    wrapper: str = ""
    """For text: `transcription`, `lyric`, `caption`, `think`, `answer`, or empty."""
    loss: bool = False
    repeats: bool = False
    """Neighbours that repeat do so together, as `name_1`, `name_2`, …"""
    optional: bool = False
    """Left out of an example that fills it with nothing."""

    @property
    def is_text(self) -> bool:
        """Whether a text fills it, and no clip."""
        return self.kind in ("prompt", "text")


def prompt(name: str) -> Slot:
    """What is asked inside an example, in the words of a file of prompts."""
    return Slot("prompt", name)


def text(name: str, wrapper: str = "", *, loss: bool = False) -> Slot:
    return Slot("text", name, wrapper, loss)


def audio(name: str, *, loss: bool = False) -> tuple[Slot, Slot]:
    """Both parts of a clip: reasoning, then reconstruction."""
    return Slot("reasoning", name, "", loss), Slot("reconstruction", name, "", loss)


def repeated(*slots: Slot) -> tuple[Slot, ...]:
    return tuple(replace(slot, repeats=True) for slot in slots)


def optional(*slots: Slot) -> tuple[Slot, ...]:
    return tuple(replace(slot, optional=True) for slot in slots)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    name: str
    order: tuple[Slot, ...]
    """Segments behind the prompt."""
    authors_name: str = ""
    """The name of this format in the authors' code; empty where the task is ours."""
    has_prompt: bool = True
    group: str = ""
    """Mixture group; the name where empty."""
    num_repeats: tuple[int, int] = (1, 1)
    """Least and most times that the repeating slots stand there."""
    metrics: tuple[str, ...] = ()
    """What an answer is judged by."""
    drops_condition: bool = False
    """Whether training drops the condition of `condition_dropout` of its examples, so that guidance works at inference."""
    needs: tuple[str, ...] = ()
    """What a clip must have to give an example, of `annotations.NEEDS`."""
    of_clip: OneClip | None = None
    """How a clip fills it by itself; None where an example takes other clips, or is made from the clip."""

    def __post_init__(self) -> None:
        least, most = self.num_repeats
        if not 1 <= least <= most:
            raise UsageError(f"`num_repeats` of task {self.name} must ascend from 1, but is {self.num_repeats}.")
        if unknown := sorted(set(self.needs) - set(NEEDS)):
            raise UsageError(
                f"`needs` of task {self.name} must be of {', '.join(NEEDS)}, but hold {', '.join(unknown)}."
            )
        if not any(slot.loss for slot in self.order):
            raise UsageError(f"`order` of task {self.name} must hold a segment with loss, but holds none.")

    @property
    def mixture(self) -> str:
        return self.group or self.name

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """Language -> wordings; empty where the task has no prompt."""
        return prompts_of(self.name) if self.has_prompt else {}

    def describe(self) -> str:
        """One line: what is given, and what is to be written."""
        inputs = (["prompt"] if self.has_prompt else []) + _words(slot for slot in self.order if not slot.loss)
        return f"{', '.join(inputs) or 'nothing'} -> {', '.join(_words(slot for slot in self.order if slot.loss))}"

    def slots(self, num_repeats: int = 1) -> tuple[Slot, ...]:
        """The order with its repeating part written out, names numbered from 1."""
        least, most = self.num_repeats
        if not least <= num_repeats <= most:
            raise UsageError(f"`num_repeats` of task {self.name} must lie in {least} … {most}, but is {num_repeats}.")
        return _written_out(self.order, num_repeats)

    def instruction(
        self,
        *,
        texts: Mapping[str, str] | None = None,
        clips: Mapping[str, Clip] | None = None,
        corpus: str,
        split: str,
        seed: int = 0,
        language: str = "en",
        sources: Sequence[str] = (),
    ) -> Instruction:
        """One row of `instructions`; equal arguments give equal rows. `sources`: clips it stems from besides `clips`."""
        segments = self._segments(texts or {}, clips or {}, seed, language)
        recipes = {clip.clip_id: clip for clip in (clips or {}).values() if isinstance(clip, Recipe)}
        used_clips = [segment.clip_id for segment in segments if segment.clip_id]
        parents = [parent for clip_id in used_clips if clip_id in recipes for parent in recipes[clip_id].parents]
        clip_ids = list(dict.fromkeys([*used_clips, *parents, *sources]))
        content = [self.name, [_plain(segment) for segment in segments], sorted(recipes), clip_ids]
        return Instruction(
            instruction_id=short(hash_json(content)),
            task=self.name,
            mixture=self.mixture,
            split=split,
            corpus=corpus,
            segments=segments,
            recipes=[recipes[clip_id] for clip_id in sorted(recipes)],
            clip_ids=clip_ids,
        )

    def prompt_segments(
        self,
        *,
        texts: Mapping[str, str] | None = None,
        clips: Mapping[str, Clip] | None = None,
        seed: int = 0,
        language: str = "en",
    ) -> list[InstructionSegment]:
        """The condition at inference: everything before the first segment that the model writes."""
        return self._segments(texts or {}, clips or {}, seed, language, only_condition=True)

    def _segments(
        self,
        texts: Mapping[str, str],
        clips: Mapping[str, Clip],
        seed: int,
        language: str,
        *,
        only_condition: bool = False,
    ) -> list[InstructionSegment]:
        slots = self.slots(self._count_repeats(texts, clips))
        if only_condition:
            slots = slots[: next(index for index, slot in enumerate(slots) if slot.loss)]
        self._check_names(slots, texts, clips, allow_more=only_condition)
        filled = [_fill(slot, texts, clips) for slot in slots if slot.name in (texts if slot.is_text else clips)]
        if not self.has_prompt:
            return filled
        key = hash_bytes(repr((seed, self.name, [_plain(segment) for segment in filled])).encode())
        wording = choose_prompt(self.prompts, language, key)
        return [InstructionSegment(kind="prompt", loss=False, text=wording), *filled]

    def _count_repeats(self, texts: Mapping[str, str], clips: Mapping[str, Clip]) -> int:
        names = [slot.name for slot in self.order if slot.repeats]
        count = 1
        while any(f"{name}_{count + 1}" in texts or f"{name}_{count + 1}" in clips for name in names):
            count += 1
        return count

    def _check_names(
        self, slots: Sequence[Slot], texts: Mapping[str, str], clips: Mapping[str, Clip], *, allow_more: bool
    ) -> None:
        for argument, values, is_text in (("texts", texts, True), ("clips", clips, False)):
            names = {slot.name for slot in slots if slot.is_text == is_text}
            required = names - {slot.name for slot in slots if slot.optional}
            if required - set(values) or (set(values) - names and not allow_more):
                raise UsageError(
                    f"`{argument}` of task {self.name} must hold {', '.join(sorted(required)) or 'nothing'}, "
                    f"but holds {', '.join(sorted(values)) or 'nothing'}."
                )


@cache
def _written_out(order: tuple[Slot, ...], num_repeats: int) -> tuple[Slot, ...]:
    unit = tuple(slot for slot in order if slot.repeats)
    numbered = [replace(slot, name=f"{slot.name}_{n}") for n in range(1, num_repeats + 1) for slot in unit]
    first = next((index for index, slot in enumerate(order) if slot.repeats), len(order))
    return (*order[:first], *numbered, *order[first + len(unit) :])


def _words(slots: Iterator[Slot]) -> list[str]:
    """`transcript`, `audio` (both parts), `audio (reasoning)`, `examples …` of a repeating slot."""
    kinds: dict[tuple[str, bool], list[str]] = {}
    for slot in slots:
        kinds.setdefault((slot.name, slot.repeats), []).append(slot.kind)
    return [
        (name.replace("_", " ") + (" 1 …" if repeats else ""))
        + (f" ({parts[0].replace('_', ' ')})" if len(parts) == 1 and parts[0] not in ("prompt", "text") else "")
        for (name, repeats), parts in kinds.items()
    ]


def _fill(slot: Slot, texts: Mapping[str, str], clips: Mapping[str, Clip]) -> InstructionSegment:
    if slot.is_text:
        return InstructionSegment(kind=slot.kind, loss=slot.loss, text=texts[slot.name], wrapper=slot.wrapper)
    clip = clips[slot.name]
    clip_id = clip.clip_id if isinstance(clip, Recipe) else clip
    return InstructionSegment(kind=slot.kind, loss=slot.loss, clip_id=clip_id)


def _plain(segment: InstructionSegment) -> list[object]:
    return [segment.kind, segment.loss, segment.text, segment.wrapper, segment.clip_id]
