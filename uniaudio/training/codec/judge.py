"""Judges of phase `grpo`: how right is what a policy says about a clip? 0 to 1, against the clip's annotations.

Row in   ('Audio: speech\\nDetails: "let us go"', ClipFacts(domain="speech", transcript="let's go"))
Row out  0.5
"""

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.metrics.text import normalize_text
from uniaudio.training.codec.endpoint import chat_endpoint
from uniaudio.training.codec.examples import ClipFacts, read_levels

log = logging.getLogger(__name__)

MAX_VERDICT_TOKENS = 128
UNSUPPORTED_COST = 0.1
"""Taken off the score for each unsupported claim, by a chat judge."""
NUM_CALLS = 8
"""Calls of an endpoint at the same time."""
BEST_SCORE = 10
MAX_UNSUPPORTED = 10
"""With so many unsupported claims a score is 0."""
INSTRUCTION = (
    "You grade a description of an audio clip against what is known about the clip. For each level that is known, give "
    "a score from 0 (wrong or missing) to 10 (right and complete); what is said in other words is right. Count the "
    "claims that nothing known supports. Answer with one line of JSON and nothing else, such as "
    '{"scores": [10, 4, 7], "unsupported": 1}'
)


class Judge(Protocol):
    def scores(self, answers: Sequence[str], facts: Sequence[ClipFacts]) -> list[float]:
        """Score of each answer about the clip with these facts, 0 to 1."""
        ...


class RuleJudge:
    """Deterministic: of each known level, the share of its words that are named less the share that nothing supports."""

    def scores(self, answers: Sequence[str], facts: Sequence[ClipFacts]) -> list[float]:
        return [_rule_score(answer, one) for answer, one in zip(answers, facts, strict=True)]


class ChatJudge:
    """A chat model that is asked for a score a level, about one answer a call."""

    def __init__(self, ask: Callable[[str, str], str], *, num_calls: int = 1) -> None:
        self._ask = ask
        """Maps instruction and question to the model's reply. Up to `num_calls` threads call it."""
        self._num_calls = num_calls

    def scores(self, answers: Sequence[str], facts: Sequence[ClipFacts]) -> list[float]:
        pairs = list(zip(answers, facts, strict=True))
        if self._num_calls == 1:
            return [self._score(*pair) for pair in pairs]
        with ThreadPoolExecutor(self._num_calls) as pool:
            # In the order of the answers; the first error ends it, and calls that have not begun are not made.
            return list(pool.map(lambda pair: self._score(*pair), pairs))

    def _score(self, answer: str, facts: ClipFacts) -> float:
        levels = facts.levels()
        if not levels:
            return 0.0
        lines = "\n".join(f"{level}: {text}" for level, text in levels.items())
        reply = self._ask(INSTRUCTION, f"Known, one line a level:\n{lines}\n\nDescription:\n{answer}")
        return read_verdict(reply, len(levels))


def read_verdict(reply: str, num_levels: int) -> float:
    """0 to 1 from the first JSON object in a chat model's reply. One that does not give each of `num_levels` levels a
    score of 0 to 10 is unreadable: it counts 0 and is logged."""
    try:
        verdict, _ = json.JSONDecoder().raw_decode(reply, reply.index("{"))
        scores, unsupported = verdict["scores"], min(verdict.get("unsupported", 0), MAX_UNSUPPORTED)
        if not isinstance(scores, list) or len(scores) != num_levels:
            raise ValueError
        if not all(_is_within(score, BEST_SCORE) for score in scores) or not _is_within(unsupported, MAX_UNSUPPORTED):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        log.warning("judge: the reply %.80r is no verdict and counts 0", reply)
        return 0.0
    right = sum(score / BEST_SCORE for score in scores) / num_levels
    told: float = right - UNSUPPORTED_COST * unsupported
    return max(told, 0.0)


def _is_within(value: Any, most: float) -> bool:
    """A number of 0 to `most`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def build_judge(judge: str, model: str, device: torch.device) -> Judge:
    """`rules`, the folder of a chat model, or the address of an OpenAI-compatible endpoint and its model's name."""
    if judge == "rules":
        return RuleJudge()
    if judge.startswith(("http://", "https://")):
        if not model:
            raise UsageError("`judge_model` must name the endpoint's model, but is empty.")
        return ChatJudge(chat_endpoint(judge, model, MAX_VERDICT_TOKENS), num_calls=NUM_CALLS)
    return ChatJudge(_local_chat(judge, device))


def _rule_score(answer: str, facts: ClipFacts) -> float:
    facts_of = {level: set(normalize_text(text).split()) for level, text in facts.levels().items()}
    if not facts_of:
        return 0.0
    supported = set().union(*facts_of.values())
    claims = {level: set(normalize_text(text).split()) for level, text in reversed(read_levels(answer))}
    total = 0.0
    for level, words in facts_of.items():
        claimed = claims.get(level, set())
        if claimed and words:
            total += max(len(claimed & words) / len(words) - len(claimed - supported) / len(claimed), 0.0)
    return total / len(facts_of)


def _local_chat(folder: str, device: torch.device) -> Callable[[str, str], str]:
    """Greedy replies of a chat model in a local folder."""
    from uniaudio.training.codec.text_llm import load_model

    model, tokenizer = load_model(folder, device)
    if not tokenizer.chat_template:
        raise UsageError(f"`judge` must be `rules`, an address or a chat model, but {folder} has no chat template.")

    from jinja2 import TemplateError  # with which transformers reads chat templates

    @torch.no_grad()
    def ask(instruction: str, question: str) -> str:
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": question}]
        try:
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except TemplateError as error:
            raise UsageError(
                f"`judge` must take a system and a user message, but {folder} does not: {error}."
            ) from error
        inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(device)
        ids_1S = model.generate(**inputs, max_new_tokens=MAX_VERDICT_TOKENS, do_sample=False)
        return str(tokenizer.decode(ids_1S[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    return ask
