"""Wordings of the tasks' prompts: one file a task, one wording a line, `en: Write down what is said.`"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from uniaudio_schemas.errors import DataError, UsageError

FALLBACK = "en"
RELATED = {"yue": "zh"}
"""Language -> language whose prompts it may use."""
LANGUAGES = ("en", "zh", *RELATED)
"""Languages that have wordings. Every other language falls back on English."""


@cache
def prompts_of(task: str) -> dict[str, tuple[str, ...]]:
    """Language -> wordings, in the file's order."""
    file = files(__name__).joinpath(f"{task}.txt")
    if not file.is_file():
        raise UsageError(f"task {task} must have prompts in {file}, but the file is not there.")
    wordings_of: dict[str, list[str]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        language, colon, wording = line.partition(": ")
        if not colon or not wording.strip():
            raise DataError(f"{file}: line {number}: must be `language: wording`, but is {line!r}.")
        wordings_of.setdefault(language, []).append(wording.strip())
    return {language: tuple(wordings) for language, wordings in wordings_of.items()}


def choose_prompt(prompts: Mapping[str, tuple[str, ...]], language: str, key: str) -> str:
    """A wording in the language, or in a related one, or in English; which one depends on `key` (hex digits) alone."""
    candidates = (language, RELATED.get(language, FALLBACK), FALLBACK)
    wordings = next((prompts[candidate] for candidate in candidates if candidate in prompts), ())
    if not wordings:
        raise UsageError(f"`prompts` must hold English wordings, but hold {sorted(prompts)}.")
    return wordings[int(key[:12], 16) % len(wordings)]
