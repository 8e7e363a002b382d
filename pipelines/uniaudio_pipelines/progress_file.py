"""Where a training worker stands, in a file that the driver follows: Ray Train's own reports come with checkpoints alone.

{"line": "stage1 40/80 steps, loss 3.21", "step": 40, …}
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRESS_FILE = "progress.json"
_POLL_S = 1.0


def write_progress(path: Path, state: dict[str, Any]) -> None:
    """Replace the file as a whole, so that it is never half read."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(path)


@contextmanager
def followed(path: Path, show: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """While inside, `show` is given each new state within a second, from a thread of its own; the last one at the end."""
    path.unlink(missing_ok=True)
    stopped = threading.Event()
    last = ""

    def look() -> None:
        nonlocal last
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text and text != last:
            last = text
            show(json.loads(text))

    def follow() -> None:
        while not stopped.wait(_POLL_S):
            look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        look()
