"""Values that an edge keeps on this machine as soon as it has them, each under a key that says what it follows from: a run that was killed goes
on behind the last of them, and a later run that asks the same finds them.

    kept = Kept(cache_folder(store) / "answers" / checkpoint_id)
    kept.read("3f…")     None where there is none, or half of one
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Kept:
    """JSON values below one folder."""

    folder: Path

    def read(self, key: str) -> Any | None:
        try:
            return json.loads((self.folder / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None

    def write(self, key: str, value: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{key}-{os.getpid()}"
        unfinished.write_text(json.dumps(value))
        unfinished.replace(self.folder / f"{key}.json")
