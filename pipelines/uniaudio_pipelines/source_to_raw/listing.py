"""What a source folder holds: its files with their hashes, joined with what its labels say, cut into units.

Reads    the folder
Writes   one Arrow file in the cache, named by its contents: a record batch for each unit, by unit
Row      {"unit": "queen-4f1c…", "corpus": "queen", "path": "queen/DALT0001.mp3", "container": "", "size": 14228, "sha256": "5f1c…",
          "medium": "audio", "problem": "", "detail": "", "rank": 0, "label": "{\\"given_text\\": \\"Let's go.\\"}", "corpus_says": "{…}"}

A file has a row for each of its labels, or one without. A listing is a function of the folder's contents.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.store import Store, layout

from uniaudio_pipelines.source_to_raw import units
from uniaudio_pipelines.source_to_raw.cards import CARDS_FOLDER, Card, read_cards
from uniaudio_pipelines.source_to_raw.entries import Policy, entries_of
from uniaudio_pipelines.source_to_raw.formats.format import Problem
from uniaudio_pipelines.source_to_raw.hashes import write_arrow
from uniaudio_pipelines.source_to_raw.recognize import LOOSE_CORPUS, Corpus, recognize
from uniaudio_pipelines.source_to_raw.scan import scan


class Listing:
    """A finished listing, memory-mapped."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name or path.stem.removeprefix("listing-")
        # Not closed: the table's memory is the file.
        self._file = pa.ipc.open_file(pa.memory_map(str(path)))

    def __len__(self) -> int:
        """Units."""
        return int(self._file.num_record_batches)

    def unit_at(self, index: int) -> str:
        return str(self._file.get_batch(index)["unit"][0].as_py())

    def units(self) -> list[str]:
        return [self.unit_at(index) for index in range(len(self))]

    def rows(self, unit: str) -> list[dict[str, Any]]:
        """Rows of one unit, by path and rank; nothing else is read."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.unit_at(middle) < unit else (low, middle)
        if low == len(self) or self.unit_at(low) != unit:
            raise DataError(f"listing {self.name[:8]}: has no unit {unit!r}.")
        rows: list[dict[str, Any]] = self._file.get_batch(low).to_pylist()
        return rows

    def table(self) -> pa.Table:
        return self._file.read_all()

    def has_usable(self) -> bool:
        return any("" in self._file.get_batch(index)["problem"].to_pylist() for index in range(len(self)))

    def holding(self, starts: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Which of these 16-digit starts of hashes belong to files of the source, and the units of those files."""
        starts_held: set[str] = set()
        of_units: set[str] = set()
        for index in range(len(self)) if starts else ():
            batch = self._file.get_batch(index)
            hits = starts & set(pc.utf8_slice_codeunits(batch["sha256"], 0, 16).to_pylist())
            if hits:
                starts_held |= hits
                of_units.add(self.unit_at(index))
        return frozenset(starts_held), frozenset(of_units)


def check_source(source: str) -> Path:
    root = Path(source)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"`source` must be a folder of audio and text files, but {source} {what}.")
    return root.resolve()


def look(source: str, policy: Policy) -> tuple[Path, pa.Table, list[Corpus]]:
    """The resolved folder, `FILES` of everything in it, and its corpora: labels and audio are not read yet."""
    root = check_source(source)
    cards = read_cards(root)

    def follows(path: str) -> bool:
        card = cards.get(path.split("/")[0]) or cards.get("") or Card()
        return policy.follow_links if card.follow_links is None else card.follow_links

    files = scan(root, follows)
    usable = files.filter(pc.equal(files["problem"], ""))["path"].to_pylist()
    corpora = recognize(root, usable, cards)
    tops = {path.partition("/")[0] for path in files["path"].to_pylist()}
    lost = sorted(name for name in cards if name not in tops | {"", LOOSE_CORPUS})
    if lost and corpora:
        problems = [
            Problem(
                path=f"{CARDS_FOLDER}/{name}.toml",
                reason="missing",
                detail=f"a card of {name}, which is no corpus of the source",
            )
            for name in lost
        ]
        first = corpora[0]
        corpora[0] = replace(first, problems=(*first.problems, *problems))
    return root, files, corpora


def list_source(source: str, cache: Path, audio_suffixes: frozenset[str], policy: Policy | None = None) -> Listing:
    """Every file below `source` and every label. `cache` keeps hashes between calls."""
    policy = policy or Policy()
    root, files, corpora = look(source, policy)
    table = entries_of(root, files, corpora, audio_suffixes, policy, cache)
    return save(units.with_units(table, policy.max_files, policy.max_bytes), cache)


def save(table: pa.Table, cache: Path) -> Listing:
    """Keep a listing, sorted by unit, under the hash of its contents."""
    starts = [0, *(index for index in _changes(table["unit"])), len(table)] if len(table) else [0]
    batches = (
        table.slice(start, end - start).combine_chunks().to_batches()[0]
        for start, end in zip(starts[:-1], starts[1:], strict=True)
    )
    path = cache / f"listing-{units.name_of_all(table)}.arrow"
    if not path.is_file():
        write_arrow(path, table, batches)
    return Listing(path)


def _changes(column: pa.ChunkedArray) -> list[int]:
    """Indices at which another value begins."""
    whole = column.combine_chunks()
    differs = pc.not_equal(whole[1:], whole[:-1])
    return [int(index) + 1 for index in pc.indices_nonzero(differs).to_pylist()]


def share(found: Listing, store: Store) -> None:
    """Put a listing where the workers of other machines find it: into an object store; a store on a disk has the cache within."""
    path = _path_in(store, found.name)
    if path and store.files.num_bytes(path) is None:
        with store.files.temporary(layout.CACHE) as temporary, found.path.open("rb") as file:
            shutil.copyfileobj(file, temporary.file, 1 << 20)
            temporary.commit(path)


def _path_in(store: Store, name: str) -> str:
    """Empty: on a disk."""
    return f"{layout.CACHE}/listing-{name}.arrow" if "://" in str(store.root) else ""


def load_listing(
    name: str, source: str, cache: Path, audio_suffixes: frozenset[str], policy: Policy | None, store: Store
) -> Listing:
    """The listing `name`, as the driver made or shared it; where it is in neither place, the source is listed again and must be the same."""
    path = cache / f"listing-{name}.arrow"
    if path.is_file():
        return Listing(path)
    shared = _path_in(store, name)
    if shared and store.files.num_bytes(shared) is not None:
        return Listing(store.files.local_path(shared), name)
    listing = list_source(source, cache, audio_suffixes, policy)
    if listing.name != name:
        raise DataError(f"{source}: changed while it was read; run the job again.")
    return listing
