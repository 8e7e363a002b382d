"""A corpus as a folder that `source_to_raw` reads: its files, and what its package says of them.

Writes   <corpus>/<file> and <corpus>/metadata.jsonl with lines such as
         {"path": "020006J1.mp3", "domain": "speech", "language": "en", "speaker": "joe", "given_text": "At least I …", "licence": "freeware"}
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

METADATA = "metadata.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A file of a corpus."""

    path: str
    """Path below the corpus's folder."""
    audio: bytes | Path
    """What it holds, or the file that it is a copy of."""
    metadata: Mapping[str, object]
    """Fields of `metadata.jsonl` less the path."""


def write_corpus(folder: Path, items: Iterable[Item]) -> int:
    """Write the files and, last of all, their metadata: its presence says that the folder is complete. Returns the number of files.

    Files that no item names are left from a layout that was cut off, perhaps of another version: they go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    leftovers = {path for path in folder.rglob("*") if path.is_file()}
    for item in items:
        target = folder / item.path
        leftovers.discard(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(item.audio, bytes):
            target.write_bytes(item.audio)
        else:
            shutil.copyfile(item.audio, target)
        lines.append(json.dumps({"path": item.path, **item.metadata}, sort_keys=True, ensure_ascii=False))
    for path in leftovers:
        path.unlink()
    unfinished = folder / f"{METADATA}.part"
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(folder / METADATA)
    return len(lines)
