"""What a task is: the order of its parts, which of them carry loss, and its prompts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.instructions import Instruction, InstructionSegment, Recipe

AUDIO_PROMPT = "audio_prompt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    kind: str
    role: str
    wrapper: str = ""
    loss: bool = False


def text(role: str, wrapper: str = "", *, loss: bool = False) -> Part:
    return Part(kind="text", role=role, wrapper=wrapper, loss=loss)


def audio(role: str, *, loss: bool = False) -> tuple[Part, ...]:
    return tuple(Part(kind=kind, role=role, loss=loss) for kind in ("reasoning", "reconstruction"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    name: str
    parts: tuple[Part, ...]
    released_name: str | None = None
    has_prompt: bool = True
    metrics: tuple[str, ...] = ()
    condition_dropout: bool = False

    def describe(self) -> str:
        def words(loss: bool) -> str:
            return ", ".join(dict.fromkeys(part.role for part in self.parts if part.loss == loss))

        return f"{words(False) or 'nothing'} -> {words(True)}"

    def instruction(
        self,
        values: Mapping[str, str],
        *,
        split: str,
        corpus: str,
        mixture: str = "",
        recipes: tuple[Recipe, ...] = (),
        seed: int = 0,
    ) -> Instruction:
        missing = [part.role for part in self.parts if part.role not in values]
        if missing:
            raise UsageError(f"`values` of task {self.name} must hold {missing[0]}, but holds {sorted(values)}.")
        segments = [
            InstructionSegment(kind="text", loss=part.loss, text=values[part.role], wrapper=part.wrapper)
            if part.kind == "text"
            else InstructionSegment(kind=part.kind, loss=part.loss, clip_id=values[part.role])
            for part in self.parts
        ]
        key = hash_json([self.name, seed, sorted(values.items())])
        if self.has_prompt:
            wordings = prompts_of(self.name)
            wording = wordings[int(key[:12], 16) % len(wordings)]
            segments.insert(0, InstructionSegment(kind="prompt", loss=False, text=wording))
        clip_ids = [segment.clip_id for segment in segments if segment.clip_id]
        clip_ids += [parent for recipe in recipes for parent in recipe.parents]
        return Instruction(
            instruction_id=short(hash_json([key, split])),
            task=self.name,
            mixture=mixture or self.name,
            split=split,
            corpus=corpus,
            segments=segments,
            recipes=list(recipes),
            clip_ids=list(dict.fromkeys(clip_ids)),
        )


@cache
def prompts_of(task: str) -> tuple[str, ...]:
    text = files(__package__).joinpath("prompts", f"{task}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line.strip())


def make_recipe(
    operation: str, parents: list[str], parameters: Mapping[str, Any], *, seed: int, num_samples: int
) -> Recipe:
    content = [operation, parents, dict(parameters), seed, num_samples]
    return Recipe(
        clip_id=short(hash_json(content)),
        operation=operation,
        parents=parents,
        parameters=canonical_json(dict(parameters)),
        seed=seed,
        num_samples=num_samples,
    )
