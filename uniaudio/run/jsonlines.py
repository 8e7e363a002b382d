"""Results as JSON lines, each written as soon as it is known.

{"input": "clip.wav", "task": "asr", "finished": "stop", "seed": 0, "text": "let's go"}
"""

import json
import sys
from pathlib import Path
from typing import Any


class JsonLines:
    """Writes records to a file, or to standard output where `path` is None or `-`."""

    def __init__(self, path: Path | None) -> None:
        self._path = None if path is None or str(path) == "-" else path
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        if self._path is None:
            if sys.stdout is not None:
                sys.stdout.write(_line(record, sys.stdout.encoding or "utf-8"))
                sys.stdout.flush()
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(record, "utf-8"))


def _line(record: dict[str, Any], encoding: str) -> str:
    """The record as JSON in plain characters, or escaped where the encoding cannot hold them (a Latin terminal, a file name of odd
    bytes)."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = json.dumps(record)
    return line + "\n"
