"""Judges of phase `grpo`: how right is what a policy says about a clip? 0 to 1, against the clip's annotations.

Row in   ('Audio: speech\\nDetails: "let us go"', ClipFacts(domain="speech", transcript="let's go"))
Row out  0.5
"""

import json
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.training.examples import ClipFacts, read_levels
from uniaudio.metrics.text import normalize_text

log = logging.getLogger(__name__)

KEY_VARIABLE = "UNIAUDIO_JUDGE_KEY"
MAX_VERDICT_TOKENS = 128
UNSUPPORTED_COST = 0.1
"""What a chat judge's unsupported claim costs."""
TIMEOUT_S, NUM_ATTEMPTS = 60.0, 3
INSTRUCTION = (
    "You grade a description of an audio clip against what is known about the clip. For each level that is known, give "
    "a score from 0 (wrong or missing) to 10 (right and complete); what is said in other words is right. Count the "
    "claims that nothing known supports. Answer with one line of JSON and nothing else, such as "
    '{"scores": [10, 4, 7], "unsupported": 1}'
)


class Judge(Protocol):
    def scores(self, answers: Sequence[str], facts: Sequence[ClipFacts]) -> list[float]:
        """Of each answer about the clip with these facts, 0 to 1."""
        ...


class RuleJudge:
    """Deterministic: of each known level, the share of its words that are named less the share that nothing supports."""

    def scores(self, answers: Sequence[str], facts: Sequence[ClipFacts]) -> list[float]:
        return [_rule_score(answer, one) for answer, one in zip(answers, facts, strict=True)]


class ChatJudge:
    """A chat model that is asked for a score a level, one answer at a time."""

    def __init__(self, ask: Callable[[str, str], str]) -> None:
        self._ask = ask
        """From instruction and question to the model's reply."""

    def scores(self, answers: Sequence[str], facts: Sequence[ClipFacts]) -> list[float]:
        return [self._score(answer, one) for answer, one in zip(answers, facts, strict=True)]

    def _score(self, answer: str, facts: ClipFacts) -> float:
        known = facts.levels()
        if not known:
            return 0.0
        lines = "\n".join(f"{level}: {text}" for level, text in known.items())
        reply = self._ask(INSTRUCTION, f"Known, one line a level:\n{lines}\n\nDescription:\n{answer}")
        return read_verdict(reply, len(known))


def read_verdict(reply: str, num_levels: int) -> float:
    """0 to 1 from a chat model's reply; one that cannot be read counts 0 and is logged."""
    found = re.search(r"\{.*?\}", reply, re.DOTALL)
    try:
        verdict = json.loads(found.group()) if found else {}
        scores = [min(max(float(score) / 10, 0.0), 1.0) for score in verdict["scores"]][:num_levels]
        unsupported = max(int(verdict.get("unsupported", 0)), 0)
    except (ValueError, KeyError, TypeError):
        log.warning("judge: the reply %.80r is no verdict and counts 0", reply)
        return 0.0
    return max(sum(scores) / num_levels - UNSUPPORTED_COST * unsupported, 0.0)


def build_judge(judge: str, model: str, device: torch.device) -> Judge:
    """`rules`, the folder of a chat model, or the address of an OpenAI-compatible endpoint and its model's name."""
    if judge == "rules":
        return RuleJudge()
    if judge.startswith(("http://", "https://")):
        if not model:
            raise UsageError("`judge_model` must name the endpoint's model, but is empty.")
        return ChatJudge(_endpoint(judge.rstrip("/"), model))
    return ChatJudge(_local_chat(judge, device))


def _rule_score(answer: str, facts: ClipFacts) -> float:
    known = {level: set(normalize_text(text).split()) for level, text in facts.levels().items()}
    if not known:
        return 0.0
    supported = set().union(*known.values())
    said = {level: set(normalize_text(text).split()) for level, text in reversed(read_levels(answer))}
    total = 0.0
    for level, words in known.items():
        claimed = said.get(level, set())
        if claimed and words:
            total += max(len(claimed & words) / len(words) - len(claimed - supported) / len(claimed), 0.0)
    return total / len(known)


def _endpoint(address: str, model: str) -> Callable[[str, str], str]:
    """Chat completions of an OpenAI-compatible server, as greedy as it can be; the key comes from the environment."""

    def ask(instruction: str, question: str) -> str:
        body = {
            "model": model,
            "messages": [{"role": "system", "content": instruction}, {"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": MAX_VERDICT_TOKENS,
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        url = f"{address}/chat/completions"
        reply = _post(urllib.request.Request(url, json.dumps(body).encode(), headers))
        try:
            return str(reply["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(f"{url}: the reply is no chat completion.") from error

    return ask


def _post(request: urllib.request.Request) -> Any:
    for attempt in range(NUM_ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return json.loads(response.read())
        except (urllib.error.URLError, TimeoutError, json.JSONDecodeError) as error:
            if attempt + 1 == NUM_ATTEMPTS:
                raise UsageError(f"`judge` must answer, but {request.full_url} does not: {error}.") from error
            time.sleep(2.0**attempt)
    raise AssertionError


def _local_chat(folder: str, device: torch.device) -> Callable[[str, str], str]:
    """Greedy replies of a chat model in a local folder."""
    from uniaudio.codec.training.text_llm import load_model

    model, tokenizer = load_model(folder, device)
    if not tokenizer.chat_template:
        raise UsageError(f"`judge` must be `rules`, an address or a chat model, but {folder} has no chat template.")

    @torch.no_grad()
    def ask(instruction: str, question: str) -> str:
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(device)
        ids_1S = model.generate(**inputs, max_new_tokens=MAX_VERDICT_TOKENS, do_sample=False)
        return str(tokenizer.decode(ids_1S[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    return ask
