"""Join what a source holds with what its labels say.

Reads    `scan.FILES`, the corpora, their labels, and the bytes of the files to hash them
Row out  {"corpus": "queen", "path": "queen/DALT0001.mp3", "sha256": "5f1c…", "medium": "audio", "problem": "", "rank": 0, "label": "{…}",
          "corpus_says": "{\\"channels\\": \\"mean\\", \\"cleaning\\": \\"standard\\"}"}
"""

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from uniaudio_pipelines.source_to_raw.cards import Card, is_card
from uniaudio_pipelines.source_to_raw.formats.format import Folder, composed
from uniaudio_pipelines.source_to_raw.formats.places import split_of
from uniaudio_pipelines.source_to_raw.hashes import hash_files
from uniaudio_pipelines.source_to_raw.labels import all_labels
from uniaudio_pipelines.source_to_raw.members import members_named, members_of
from uniaudio_pipelines.source_to_raw.recognize import LOOSE_CORPUS, Corpus
from uniaudio_pipelines.source_to_raw.scan import FILES

TEXT_SUFFIXES = frozenset({".txt", ".md", ".rst", ".html", ".htm", ".xhtml", ".xml"})
_WORKBOOK, _ARCHIVE = ": a workbook; save its sheet as CSV", ": an archive; unpack it"
_INSTEAD = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), _WORKBOOK), **dict.fromkeys((".zip", ".rar", ".7z"), _ARCHIVE),
    ".docx": ": a document of Word; save it as text",
}  # fmt: skip
"""What to do with files that are not read."""
_ABOUT = ("readme", "license", "licence", "copying", "changes", "changelog", "authors", "citation", "notice")
"""Beginnings of names of files that speak of a source, not in it."""
LISTING = pa.schema(
    [
        (name, pa.int64() if name in ("size", "rank") else pa.large_string() if name == "label" else pa.string())
        for name in (
            "unit", "corpus", "path", "container", "format", "size", "sha256", "medium", "problem", "detail", "rank", "label",
            "corpus_says",
        )
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What the job says of how a source is listed."""

    follow_links: bool = False
    channels: str = "mean"
    max_files: int = 64
    max_bytes: int = 256 * 2**20


def entries_of(
    root: Path,
    files: pa.Table,
    corpora: list[Corpus],
    audio_suffixes: frozenset[str],
    policy: Policy,
    cache: Path | None,
) -> pa.Table:
    """`LISTING` without units: files and members of containers, with labels, hashes and problems. Without a `cache` no file but those of
    labels is read: nothing is hashed, and the members of containers are those that labels name."""
    import polars as pl

    labels, problems = all_labels(corpora)
    known: Any = pl.from_arrow(files)
    apart = {name for corpus in corpora for name in corpus.label_files}
    apart.update(path for path in files["path"].to_pylist() if is_card(path))
    known = known.filter(~pl.col("path").is_in(sorted(apart)) | (pl.col("problem") != ""))
    known = known.with_columns(container=pl.lit(""), format=pl.lit(""), sha256=pl.lit(None, pl.String))
    inside = members_of(root, files, corpora, cache) if cache else members_named(labels, corpora)
    known = pl.concat([known, inside], how="diagonal_relaxed")
    joined, missing = _resolve(pl.from_arrow(labels), known)
    known = _with_corpora(known, corpora)
    known = _with_medium(known, joined, audio_suffixes, {corpus.name: corpus.card for corpus in corpora})
    if cache:
        known = _hashed(root, known, cache)
    known = known.join(_corpus_says(known, corpora, policy), on=["corpus", "folder"], how="left")
    entries = known.join(joined.select("path", "rank", "label"), on="path", how="left")
    dropped = pl.concat([_with_corpora(missing, corpora), pl.from_arrow(problems)], how="diagonal_relaxed").unique()
    entries = pl.concat([entries, dropped], how="diagonal_relaxed").with_columns(unit=pl.lit(""))
    entries = entries.with_columns(
        pl.col(name).fill_null(0 if name in ("size", "rank") else "") for name in LISTING.names
    )
    # A file that makes no row needs no labels.
    entries = entries.with_columns(label=pl.when(pl.col("problem") == "").then("label").otherwise(pl.lit("")))
    table: pa.Table = entries.select(LISTING.names).sort("corpus", "path", "rank", "problem", "detail").to_arrow()
    return table.cast(LISTING)


def _resolve(labels: Any, known: Any) -> tuple[Any, Any]:
    """Labels with the path of the file that they mean (by its name, else by its name's NFC), and those that mean none."""
    import polars as pl

    labels = labels.join(known.select("path", there=pl.lit(True)).unique("path"), on="path", how="left")
    lost = labels.filter(pl.col("there").is_null())
    odd = [path for path in known["path"].to_list() if not path.isascii()]
    names = pl.DataFrame(
        {"nfc": [composed(path) for path in odd], "found": odd}, schema={"nfc": pl.String, "found": pl.String}
    )
    wanted = lost.with_columns(nfc=pl.Series([composed(path) for path in lost["path"].to_list()], dtype=pl.String))
    wanted = wanted.join(names.unique("nfc", keep="first", maintain_order=True), on="nfc", how="left")
    meant = wanted.filter(pl.col("found").is_not_null()).with_columns(path="found")
    joined = pl.concat([labels.filter(pl.col("there").is_not_null()), meant], how="diagonal_relaxed")
    missing = wanted.filter(pl.col("found").is_null()).unique("path", keep="first", maintain_order=True)
    detail = pl.concat_str(pl.lit("named in "), pl.col("said_by"), pl.lit(", but not there"))
    return joined, missing.select("path", problem=pl.lit("missing"), detail=detail)


def _with_corpora(known: Any, corpora: list[Corpus]) -> Any:
    """Entries with `corpus`, and with `folder`: the folder in it that holds the file."""
    import polars as pl

    whole = next((corpus for corpus in corpora if corpus.is_whole), None)
    if whole is not None:
        corpus, below = pl.lit(whole.name), pl.col("path")
    else:
        is_loose = ~pl.col("path").str.contains("/", literal=True)
        corpus = pl.when(is_loose).then(pl.lit(LOOSE_CORPUS)).otherwise(pl.col("path").str.split("/").list.first())
        below = pl.when(is_loose).then("path").otherwise(pl.col("path").str.replace(r"^[^/]*/", ""))
    folder = (
        pl.when(below.str.contains("/", literal=True)).then(below.str.replace(r"(?s)/[^/]*$", "")).otherwise(pl.lit(""))
    )
    return known.with_columns(corpus=corpus, folder=folder)


def _with_medium(known: Any, labels: Any, audio_suffixes: frozenset[str], cards: dict[str, Card]) -> Any:
    """Entries with `medium`, and with a problem where a file is neither audio nor a document."""
    import polars as pl

    said = labels.group_by("path").agg(pl.col("is_text").any())
    known = known.join(said, on="path", how="left")
    name = pl.col("path").str.split("/").list.last()
    suffix = name.str.extract(r"(?s)[^.](\.[^.]*)$").fill_null("").str.to_lowercase()
    known = known.with_columns(
        suffix=suffix, is_labelled=pl.col("is_text").is_not_null(), is_member=pl.col("container") != ""
    )
    is_text_file = pl.col("suffix").is_in(sorted(TEXT_SUFFIXES))
    is_audio = ~is_text_file & (
        pl.col("suffix").is_in(sorted(audio_suffixes)) | pl.col("is_labelled") | pl.col("is_member")
    )
    is_text = is_text_file | (pl.col("is_member") & pl.col("is_text").fill_null(False))
    good = pl.col("problem") == ""
    known = known.with_columns(
        medium=pl.when(~good)
        .then(pl.lit(""))
        .when(is_text)
        .then(pl.lit("text"))
        .when(is_audio)
        .then(pl.lit("audio"))
        .otherwise(pl.lit(""))
    )
    has_audio = (pl.col("medium") == "audio").any()
    beside = has_audio.over("corpus") | (
        (pl.col("corpus") == LOOSE_CORPUS)
        & name.str.to_lowercase().str.contains(rf"^({'|'.join(_ABOUT)})\b")
        & has_audio
    )
    takes_text = pl.col("corpus").is_in([corpus for corpus, card in cards.items() if card.documents])
    unwanted = (pl.col("medium") == "text") & ~pl.col("is_labelled") & ~pl.col("is_member") & beside & ~takes_text
    problem = (
        pl.when(good & unwanted)
        .then(pl.lit("beside_audio"))
        .when(good & (pl.col("medium") == ""))
        .then(pl.lit("unsupported"))
    )
    return known.with_columns(
        problem=problem.otherwise("problem"),
        detail=pl.when(problem.otherwise(pl.lit("")) != "")
        .then(pl.col("suffix") + pl.col("suffix").replace_strict(_INSTEAD, default=""))
        .otherwise("detail"),
    )


def _hashed(root: Path, known: Any, cache: Path) -> Any:
    import polars as pl

    todo = known.filter((pl.col("problem") == "") & (pl.col("container") == ""))
    hashed, problems = hash_files(root, todo.select(FILES.names).to_arrow().cast(FILES), cache)
    hashes: Any = pl.from_arrow(hashed)
    known = known.join(hashes.select("path", made="sha256"), on="path", how="left")
    why = pl.DataFrame(sorted(problems.items()), schema={"path": pl.String, "why": pl.String}, orient="row")
    known = known.join(why, on="path", how="left")
    return known.with_columns(
        sha256=pl.coalesce("sha256", "made", pl.lit("")),
        problem=pl.when(pl.col("why").is_null()).then("problem").otherwise(pl.lit("unreadable")),
        detail=pl.coalesce("why", "detail"),
    )


def _corpus_says(known: Any, corpora: list[Corpus], policy: Policy) -> Any:
    """For each corpus and folder, what holds for every file of it, as JSON."""
    import polars as pl

    folders = known.select("corpus", "folder").unique().rows()
    by_name = {corpus.name: corpus for corpus in corpora}
    by_corpus: dict[str, list[str]] = {}
    for name, folder in folders:
        by_corpus.setdefault(name, []).append(folder)
    rows = []
    for name, below in by_corpus.items():
        corpus = by_name.get(name)
        card = corpus.card if corpus else Card()
        splits = _splits_of_folders(corpus.folder, below) if corpus else {}
        speakers = corpus.speakers if corpus else {}
        said = {"cleaning": card.cleaning, "channels": card.channels or policy.channels}
        said |= {key: value for key in ("licence", "language", "domain") if (value := getattr(card, key))}
        if card.splits == {}:
            said["splits"] = "ignore"
        for folder in below:
            split = {"split": splits[folder]} if folder in splits else {}
            speaker = {"speaker": speakers[folder]} if folder in speakers else {}
            values = {**said, **split, **speaker, **_said_by_name(folder, card)}
            rows.append((name, folder, json.dumps(values, sort_keys=True, ensure_ascii=False)))
    return pl.DataFrame(rows, schema=dict.fromkeys(("corpus", "folder", "corpus_says"), pl.String), orient="row")


def _said_by_name(folder: str, card: Card) -> dict[str, Any]:
    """What the card takes the name of the folder of a clip for; nothing of one whose name begins with `_`, as background noise has it."""
    name = folder.rpartition("/")[2]
    if card.folders is None or not name or name.startswith("_"):
        return {}
    words = " ".join(re.split(r"[\s_]+", name))
    return {card.folders: [words] if card.folders == "given_tags" else words}


def _splits_of_folders(folder: Folder, below: list[str]) -> dict[str, str]:
    """Folder -> the split that the name of it, or of one above it, says, where folders of `train` and of another stand side by side."""
    all_folders = {
        posixpath.join(*parts[: depth + 1]) for one in below if (parts := one.split("/")) for depth in range(len(parts))
    }
    beside: dict[str, set[str]] = {}
    said: dict[str, str] = {}
    for one in all_folders:
        parent, _, name = one.rpartition("/")
        if split := split_of(folder, name):
            said[one] = split
            beside.setdefault(parent, set()).add(split)
    by_card = folder.card.splits or {}
    given = {}
    for one, split in said.items():
        parent, _, name = one.rpartition("/")
        if name in by_card or ("train" in beside[parent] and len(beside[parent]) > 1):
            given[one] = split
    return {one: given[above] for one in below for above in _above(one) if above in given}


def _above(folder: str) -> list[str]:
    """A folder and those that hold it, the innermost last."""
    parts = folder.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
