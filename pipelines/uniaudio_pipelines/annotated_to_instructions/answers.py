"""What a checkpoint answered about clips, as `uniaudio run asr source/ --jsonl answers.jsonl` writes it: the worse answers of pairs.

Row   {"input": "source/queen/lets-go.wav", "task": "asr", "text": "let's know", "finished": "stop", "seed": 3}

A line belongs to the clip whose `path` its `input` ends with. The same inputs asked with several seeds may stand in one file.
"""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path, PurePosixPath

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.annotated import Annotated

_TASK = "asr"


def answers_about(clip: Annotated, file: str) -> list[str]:
    """Each once, in their order; none without a file, or of a clip that is a part of a recording."""
    if not file or clip.clip_id != clip.raw_clip_id:
        return []
    parts = PurePosixPath(clip.path).parts
    texts = [text for given, text in _by_name(file).get(parts[-1], ()) if given[-len(parts) :] == parts]
    return list(dict.fromkeys(texts))


@cache
def _by_name(file: str) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Name of an input's file -> the parts of its path, and what was answered about it."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"`answers` must be a file of JSON lines, but {file} cannot be read ({error}).") from error
    texts_by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            path, task, text = record["input"], record["task"], record.get("text", "")
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: line {number}: must be a line of `uniaudio run --jsonl` ({error}).") from error
        if task == _TASK and isinstance(text, str) and text.strip():
            parts = PurePosixPath(str(path)).parts
            texts_by_name[parts[-1]].append((parts, text.strip()))
    return texts_by_name
