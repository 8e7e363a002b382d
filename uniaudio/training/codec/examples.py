"""What may be asked about a training clip, and the answers its annotations give.

Row in   ClipFacts(domain="speech", transcript="let's go", caption="a man speaks", tags=())
Row out  Example(task="asr", question="What is said?", answer="let's go")

Task `analysis` is what phase `grpo` trains on: one line a level of what is known, from sound to meaning.
    Audio: speech
    Details: "let's go"
    Meaning: a man speaks
"""

from collections.abc import Sequence
from dataclasses import dataclass

from uniaudio_schemas.errors import UsageError

from uniaudio.codec.text_decoder import QUESTIONS
from uniaudio.stages.codec_phase import TASKS

LEVELS = ("Audio", "Details", "Meaning")
"""Levels of an analysis: basic properties; words, events or instruments; meaning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFacts:
    """Reference annotations of a clip; empty where there is none."""

    domain: str = ""
    """`speech`, `sound` or `music`."""
    transcript: str = ""
    language: str = ""
    """Language of the transcript, an ISO 639-1 code."""
    caption: str = ""
    """One sentence on what it is, or its title."""
    tags: tuple[str, ...] = ()
    """Events or instruments."""

    def levels(self) -> dict[str, str]:
        """What an analysis should say, by level; a level of which nothing is known is left out."""
        details = f'"{self.transcript}"' if self.transcript else ", ".join(self.tags)
        texts = dict(zip(LEVELS, (self.domain, details, self.caption), strict=True))
        return {level: " ".join(text.split()) for level, text in texts.items() if text.strip()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One question about a clip, and its answer."""

    task: str
    question: str
    answer: str


def examples(facts: ClipFacts, tasks: Sequence[str]) -> list[Example]:
    """One of each of `tasks` that the facts can answer."""
    if unknown := sorted(set(tasks) - set(TASKS)):
        raise UsageError(f"`tasks` must be among {', '.join(TASKS)}, but has {', '.join(unknown)}.")
    analysis = "\n".join(f"{level}: {text}" for level, text in facts.levels().items())
    answers = {"asr": facts.transcript, "caption": facts.caption, "qa": facts.domain, "analysis": analysis}
    return [Example(task=task, question=QUESTIONS[task], answer=answers[task]) for task in tasks if answers[task]]


def read_levels(answer: str) -> list[tuple[str, str]]:
    """The levels of an analysis as `(level, text)`, in the order in which it gives them; other lines are left out."""
    levels = []
    for line in answer.splitlines():
        level, colon, text = line.partition(":")
        if colon and level.strip() in LEVELS:
            levels.append((level.strip(), text.strip()))
    return levels


def quoted(text: str) -> str:
    """What stands between the first and the last double quote; empty without two of them."""
    parts = text.split('"')
    return '"'.join(parts[1:-1]) if len(parts) > 2 else ""
