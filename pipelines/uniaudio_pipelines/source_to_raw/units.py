"""Cut a listing into units so that a file more or less changes one unit, and name each by its contents.

The files of a corpus stand in path order; a list too long for one unit is cut before the file whose path has the smallest hash, and so are
its halves. Where the cuts lie depends on which files are there, not on what was there before; a file added to a list moves a cut only if
its own hash is the smallest of all.

Byte-equal files are one unit's, that of the first of them: which of them can be decoded is only seen later.
"""

import hashlib
import re
from typing import Any

import numpy as np
import pyarrow as pa
from uniaudio_schemas.fingerprint import hash_json

WEIGHT = 64
"""Weight of a file. A document inside a container, and a row that is dropped, weigh 1: units of a table of texts are not tiny."""
_HASHED = ("path", "container", "format", "size", "sha256", "medium", "problem", "detail", "label", "corpus_says")
_MAX_CORPUS_BYTES = 100
"""Most bytes of a corpus's name in a unit's name, which itself has at most 180."""


def with_units(table: pa.Table, max_files: int, max_bytes: int) -> pa.Table:
    """`table` of `entries.LISTING`, sorted by corpus and path, with units; sorted by unit, path and rank."""
    import polars as pl

    entries: Any = pl.from_arrow(table)
    schema = table.schema
    is_good = pl.col("problem") == ""
    entries = entries.with_columns(
        # A file that makes no row is byte-equal to itself alone.
        same=pl.when(is_good).then(pl.col("sha256") + pl.col("medium")).otherwise(pl.lit("/") + pl.col("path")),
        weight=pl.when(is_good & ((pl.col("medium") == "audio") | (pl.col("container") == "")))
        .then(WEIGHT)
        .otherwise(1),
    )
    firsts = entries.unique("same", keep="first", maintain_order=True).select(
        "same", "corpus", "path", "weight", "size"
    )
    numbers = np.zeros(len(firsts), np.int64)
    hashes = np.array([_number(path) for path in firsts["path"].to_list()], np.uint64)
    corpora = firsts["corpus"].to_numpy()
    starts = [0, *(np.flatnonzero(corpora[1:] != corpora[:-1]) + 1).tolist(), len(firsts)] if len(firsts) else [0]
    limits = np.array([max_files * WEIGHT, max_bytes])
    sums = np.stack([_sums(firsts["weight"].to_numpy()), _sums(firsts["size"].to_numpy())])
    count = 0
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        for start, end in _cut(hashes, sums, limits, first, last):
            numbers[start:end] = count
            count += 1
    entries = entries.join(firsts.select("same", number=pl.Series(numbers), home="corpus"), on="same", how="left")
    entries = _named(entries.sort("number", "path", "rank", "problem", "detail", maintain_order=True))
    return entries.sort("unit", maintain_order=True).select(schema.names).to_arrow().cast(schema)


def _number(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "big")


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])


def _cut(hashes: np.ndarray, sums: np.ndarray, limits: np.ndarray, first: int, last: int) -> list[tuple[int, int]]:
    """Ranges that fit the limits, or hold one file."""
    ranges, todo = [], [(first, last)]
    while todo:
        start, end = todo.pop()
        if end - start <= 1 or (sums[:, end] - sums[:, start] <= limits).all():
            ranges.append((start, end))
        else:
            # The first file of a list begins a unit in any case.
            middle = start + 1 + int(np.argmin(hashes[start + 1 : end]))
            todo += [(middle, end), (start, middle)]
    return ranges


def _named(entries: Any) -> Any:
    """Entries with `unit`: the corpus, and 16 digits of the hash of the unit's rows."""
    import polars as pl

    lines = entries.select("number", "home", text=_line()).group_by("number", "home", maintain_order=True).agg("text")
    names = [
        f"{_clean(home)}-{hash_json(texts.to_list())[:16]}"
        for home, texts in zip(lines["home"], lines["text"], strict=True)
    ]
    named = lines.select("number", unit=pl.Series(names, dtype=pl.String))
    return entries.drop("unit").join(named, on="number", how="left", maintain_order="left")


def _line() -> Any:
    """A row as one text. A NUL is in no path, and is escaped in JSON."""
    import polars as pl

    return pl.concat_str([pl.col(name).cast(pl.String) for name in _HASHED], separator="\0")


def _clean(corpus: str) -> str:
    name = re.sub(r"[^\w.-]", "_", corpus).encode()[:_MAX_CORPUS_BYTES].decode("utf-8", "ignore")
    return name or "_"


def name_of_all(table: pa.Table) -> str:
    """64 hex digits of a listing's contents."""
    import polars as pl

    entries: Any = pl.from_arrow(table.select(["unit", *_HASHED]))
    digest = hashlib.sha256()
    for part in entries.iter_slices(1 << 14):
        text = "\n".join(part.select(pl.concat_str(["unit", _line()], separator="\0")).to_series().to_list())
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()
