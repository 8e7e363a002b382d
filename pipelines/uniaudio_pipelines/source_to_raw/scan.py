"""What lies below a folder: every file with its size and times, or why it is not looked into.

Reads    names and status of files, and no contents
Writes   one Arrow table, sorted by path
Row      {"path": "queen/DALT0001.mp3", "size": 14228, "mtime_ns": …, "ctime_ns": …, "inode": 81, "problem": "", "detail": ""}

Links to files are taken where they stay inside the source (a Hugging Face cache is made of them). Links to folders, and links that leave
the source, are taken only where somebody asked for it; no folder is entered twice, so that loops end.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

FILES = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("ctime_ns", pa.int64(), nullable=False),
        pa.field("inode", pa.int64(), nullable=False),
        pa.field("problem", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
_BATCH = 1 << 14
ALLOW = "`follow_links` of the job or of the corpus card allows it"
Row = tuple[str, int, int, int, int, str, str]


def scan(root: Path, follows_links: Callable[[str], bool]) -> pa.Table:
    """`FILES` of everything below `root`, which is resolved. `follows_links(path)` says whether a link at this path is followed."""
    batches, rows = [], []
    for row in _Walk(root, follows_links).rows():
        rows.append(row)
        if len(rows) == _BATCH:
            batches.append(_batch(rows))
            rows.clear()
    table = pa.Table.from_batches([*batches, _batch(rows)], FILES)
    return table.sort_by("path")


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ([] for _ in FILES)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, FILES, strict=True)], schema=FILES
    )


def _dropped(path: str, problem: str, detail: str = "", size: int = 0) -> Row:
    return (path, size, 0, 0, 0, problem, detail)


@dataclass
class _Walk:
    root: Path
    follows_links: Callable[[str], bool]
    entered: list[Path] = field(default_factory=list)
    """Folders outside of the source that were entered through links."""

    def rows(self) -> Iterator[Row]:
        todo = [""]
        while todo:
            folder = todo.pop()
            try:
                with os.scandir(self.root / folder) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                yield _dropped(folder or ".", "unreadable", f"the folder cannot be listed: {error.strerror}")
                continue
            deeper = []
            for entry in entries:
                row = self._row(entry, f"{folder}/{entry.name}" if folder else entry.name)
                if row is None:
                    deeper.append(f"{folder}/{entry.name}" if folder else entry.name)
                else:
                    yield row
            todo += reversed(deeper)

    def _row(self, entry: "os.DirEntry[str]", path: str) -> Row | None:
        """Row of a file; None for a folder that is entered."""
        # A name that is not UTF-8 cannot be a column's value, and a row without its path has no lineage.
        shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != path:
            return _dropped(shown, "unsupported", "name is not UTF-8")
        if entry.name.startswith("."):
            return _dropped(path, "hidden")
        try:
            if entry.is_symlink() and (problem := self._problem_of_link(entry, path)):
                return problem
            if entry.is_dir():
                return None
            status = entry.stat()
        except OSError as error:
            return _dropped(path, "unreadable", error.strerror or "")
        if not stat.S_ISREG(status.st_mode):
            return _dropped(path, "unsupported", "no regular file")
        if status.st_size == 0:
            return _dropped(path, "empty", "0 bytes")
        # Inode numbers of some filesystems use all 64 bits.
        inode = status.st_ino if status.st_ino < 1 << 63 else status.st_ino - (1 << 64)
        return (path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode, "", "")

    def _problem_of_link(self, entry: "os.DirEntry[str]", path: str) -> Row | None:
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            return _dropped(path, "broken_link", getattr(error, "strerror", None) or "a loop of links")
        is_inside, is_folder = target.is_relative_to(self.root), target.is_dir()
        if is_inside and not is_folder:
            return None
        if is_inside:
            shown = target.relative_to(self.root).as_posix()
            return _dropped(path, "unsupported", f"a link to a folder of the source, which is listed as {shown}")
        if not self.follows_links(path):
            return _dropped(path, "outside_source", f"a link that leaves the source is not followed: {ALLOW}")
        if not is_folder:
            return None
        if self.root.is_relative_to(target):
            return _dropped(path, "unsupported", "a link to a folder that holds the source itself")
        if any(target.is_relative_to(folder) for folder in self.entered):
            return _dropped(path, "unsupported", "a link to a folder that another link has led into already")
        self.entered.append(target)
        return None
