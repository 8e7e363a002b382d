"""What lies in a source folder: its files, their hashes, and what `metadata.jsonl` says of them.

A listing is a function of the folder's contents. Hashes are remembered by path, size, times and inode, so that listing
an unchanged folder again reads no file.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.files import one_line_errors
from uniaudio_schemas.fingerprint import hash_file, hash_json

METADATA_NAME = "metadata.jsonl"
LOOSE_CORPUS = "files"
"""Corpus of files that lie in the source folder itself."""
TEXT_SUFFIXES = frozenset({".txt", ".md", ".rst", ".html", ".htm", ".xhtml", ".xml"})
_TEXT_FIELDS = (
    "domain", "licence", "speaker", "given_text", "given_title", "language", "split_group", "part_of", "part"
)  # fmt: skip
_FIELDS = frozenset({"path", "given_tags", *_TEXT_FIELDS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file of the source, or why it is not one of the version's rows."""

    path: str
    """Below the source folder, `/`-separated."""
    corpus: str
    size: int = 0
    sha256: str = ""
    problem: str = ""
    """Reason it is dropped for, known before it is decoded; empty where there is none."""
    detail: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


def list_source(source: str, cache: Path, audio_suffixes: frozenset[str]) -> list[Entry]:
    """Every file below `source`, in path order. `cache` keeps hashes between calls."""
    root = Path(source)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"`source` must be a folder of audio and text files, but {source} {what}.")
    root = root.resolve()
    hashes = _Hashes(_hashes_path(root, cache))
    metadata = _all_metadata(root)
    entries = [_entry(root, path, problem, audio_suffixes, hashes, metadata) for path, problem in _walk(root)]
    hashes.save()
    entries += [
        Entry(path=path, corpus=_corpus(path), problem="missing", detail=f"named in {METADATA_NAME}, but not there")
        for path in sorted(set(metadata) - {entry.path for entry in entries})
    ]
    return _mark_duplicates(sorted(entries, key=lambda entry: entry.path))


def forget_hashes(source: str, cache: Path) -> None:
    """Have the next listing read every file: a remembered hash was not the file's."""
    _hashes_path(Path(source).resolve(), cache).unlink(missing_ok=True)


def _hashes_path(root: Path, cache: Path) -> Path:
    return cache / f"hashes-{hash_json(str(root))[:16]}.json"


def usable(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if not entry.problem]


def group(entries: list[Entry], max_files: int, max_bytes: int) -> dict[str, list[Entry]]:
    """Unit name -> its entries: consecutive files of one corpus, up to `max_files` files and `max_bytes` bytes."""
    units: dict[str, list[Entry]] = {}
    current: list[Entry] = []
    num_units: dict[str, int] = {}
    for entry in sorted(entries, key=lambda entry: (entry.corpus, entry.path)):
        full = len(current) >= max_files or sum(one.size for one in current) + entry.size > max_bytes
        if not current or current[0].corpus != entry.corpus or full:
            name = re.sub(r"[^\w.-]", "_", entry.corpus)
            number = num_units.get(name, 0)
            num_units[name] = number + 1
            current = units.setdefault(f"{name}-{number:05d}", [])
        current.append(entry)
    return units


def save_listing(entries: list[Entry], cache: Path) -> str:
    """Keep a listing under its own hash, which is returned; the workers read it."""
    rows = [asdict(entry) for entry in entries]
    name = hash_json(rows)
    _write(cache / f"listing-{name}.json", rows)
    return name


def load_listing(name: str, source: str, cache: Path, audio_suffixes: frozenset[str]) -> list[Entry]:
    """The listing `name`; on a machine that did not make the plan, the source is listed again and must be the same."""
    path = cache / f"listing-{name}.json"
    if path.is_file():
        return [Entry(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    entries = list_source(source, cache, audio_suffixes)
    if save_listing(entries, cache) != name:
        raise DataError(f"{source}: changed while it was read; run the job again.")
    return entries


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Files below `root` with the problem their place causes; folders with a problem are named and not entered."""
    for folder, folder_names, file_names in os.walk(root, followlinks=False, onerror=_raise_unreadable):
        kept = []
        for name in sorted(folder_names):
            path = Path(folder) / name
            if problem := _problem_of_place(root, path) or ("unsupported" if path.is_symlink() else ""):
                yield path, problem
            else:
                kept.append(name)
        folder_names[:] = kept
        for name in sorted(file_names):
            path = Path(folder) / name
            if name == METADATA_NAME and len(path.relative_to(root).parts) > 2:
                # Left out, its speakers and licences would be lost without a word.
                raise DataError(f"{path}: must lie in the source folder or in a corpus folder, directly below it.")
            if name != METADATA_NAME:
                yield path, _problem_of_place(root, path)


def _raise_unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: the folder cannot be listed: {error.strerror}.") from error


def _problem_of_place(root: Path, path: Path) -> str:
    if path.name.startswith("."):
        return "hidden"
    if not path.resolve().is_relative_to(root):
        return "outside_source"
    return ""


def _entry(
    root: Path,
    path: Path,
    problem: str,
    audio_suffixes: frozenset[str],
    hashes: "_Hashes",
    metadata: dict[str, dict[str, Any]],
) -> Entry:
    name = path.relative_to(root).as_posix()
    # A name that is not UTF-8 cannot be a column's value, and a row without its path has no lineage.
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
    corpus = _corpus(shown)
    if problem or shown != name:
        return Entry(path=shown, corpus=corpus, problem=problem or "unsupported", detail="" if problem else "name")
    try:
        status = path.stat()
        suffix = path.suffix.lower()
        if not stat.S_ISREG(status.st_mode) or (suffix not in audio_suffixes and suffix not in TEXT_SUFFIXES):
            return Entry(path=name, corpus=corpus, size=status.st_size, problem="unsupported", detail=suffix)
        if status.st_size == 0:
            return Entry(path=name, corpus=corpus, problem="empty", detail="0 bytes")
        sha256 = hashes.of(path, status)
    except OSError as error:
        return Entry(path=name, corpus=corpus, problem="unreadable", detail=error.strerror or "")
    return Entry(path=name, corpus=corpus, size=status.st_size, sha256=sha256, metadata=metadata.get(name, {}))


def _corpus(path: str) -> str:
    parts = path.split("/")
    return parts[0] if len(parts) > 1 else LOOSE_CORPUS


def _mark_duplicates(entries: list[Entry]) -> list[Entry]:
    first: dict[str, str] = {}
    marked = []
    for entry in entries:
        kept = first.setdefault(entry.sha256, entry.path) if not entry.problem else entry.path
        if kept == entry.path:
            marked.append(entry)
        else:
            marked.append(
                Entry(path=entry.path, corpus=entry.corpus, size=entry.size, problem="duplicate", detail=kept)
            )
    return marked


def _all_metadata(root: Path) -> dict[str, dict[str, Any]]:
    """Path below the source -> the fields that a `metadata.jsonl` gives: a corpus's, or the source folder's own."""
    found: dict[str, dict[str, Any]] = {}
    for path in (root / METADATA_NAME, *sorted(root.glob(f"*/{METADATA_NAME}"))):
        if path.exists() and path.resolve().is_relative_to(root):
            folder = path.parent.relative_to(root)
            found |= {(folder / name).as_posix(): values for name, values in _read_metadata(path)}
    return found


def _read_metadata(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}: must be a JSON object, but is none: {error.msg}.") from error
        yield _check_metadata(values, f"{path}: line {number}")


def _check_metadata(values: Any, where: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(values, dict) or not isinstance(values.get("path"), str):
        raise DataError(f'{where}: must be an object with a "path", but is {json.dumps(values)[:80]}.')
    if unknown := sorted(set(values) - _FIELDS):
        raise DataError(f"{where}: must have fields of {', '.join(sorted(_FIELDS))}, but has {', '.join(unknown)}.")
    for name in _TEXT_FIELDS:
        if not isinstance(values.get(name), str | None):
            raise DataError(f"{where}: `{name}` must be a string, but is {json.dumps(values[name])[:80]}.")
    tags = values.get("given_tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise DataError(f"{where}: `given_tags` must be a list of strings, but is {json.dumps(tags)[:80]}.")
    if values.get("domain") not in (None, "speech", "sound", "music", "text", "unknown"):
        raise DataError(f"{where}: `domain` must be speech, sound, music, text or unknown, but is {values['domain']}.")
    return values["path"], {name: value for name, value in values.items() if name != "path" and value}


class _Hashes:
    """sha256 by path and what changes with a file's bytes, kept in a file. A copy that keeps the modification time (`cp -p`)
    changes the inode or the time of the inode's change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old: dict[str, str] = _read_json(path)
        self._new: dict[str, str] = {}

    def of(self, path: Path, status: os.stat_result) -> str:
        key = f"{path}\t{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}\t{status.st_ino}"
        self._new[key] = self._old.get(key) or hash_file(path)
        return self._new[key]

    def save(self) -> None:
        if self._new != self._old:
            _write(self._path, self._new)


def _read_json(path: Path) -> dict[str, str]:
    """A cache: one that is missing or broken is an empty one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _write(path: Path, values: Any) -> None:
    with one_line_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps(values, ensure_ascii=False, sort_keys=True), encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
