"""Corpus cards: what a corpus's own files cannot say, in TOML beside them.

Reads    `<source>/corpora/<corpus>.toml`, or `<source>/<corpus>/corpus.toml`; `<source>/corpus.toml` says that the source is one corpus

    licence = "CC-BY-4.0"
    domain = "speech"
    cleaning = "standard"
    channels = "split"
    speakers = "folders"
    folders = "given_tags"
    [columns]
    given_text = "normalized_transcript"
    [splits]
    heldout = "test"
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError

CARDS_FOLDER = "corpora"
CARD_NAME = "corpus.toml"
DOMAINS = ("speech", "sound", "music", "text", "unknown")
CLEANING = ("none", "standard")
CHANNELS = ("mean", "left", "right", "split")
SPEAKERS = ("folders", "none")
FOLDERS = ("given_tags", "given_text", "given_title")
COLUMNS = (
    "path", "start_s", "start_ms", "end_s", "end_ms", "duration_s", "duration_ms", "channel", "utterance", "recording", "domain",
    "licence", "speaker", "given_text", "given_title", "given_captions", "given_tags", "language", "split", "split_group", "part_of",
    "part",
)  # fmt: skip
"""What a column of a table may be mapped to."""
_GIVEN_SPLITS = ("train", "val", "test", "ignore")


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a card says; what it leaves out the corpus's files say, or nobody."""

    name: str | None = None
    """Name of the corpus, where the source folder itself is one."""
    format: str | None = None
    """The one format whose labels are read, by its name; None: all that are recognized."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our name of a field -> the column of the corpus's tables that holds it."""
    licence: str | None = None
    language: str | None = None
    domain: str | None = None
    splits: dict[str, str] | None = None
    """The source's name of a split, or of a folder -> `train`, `val`, `test` or `ignore`. Empty: splits of the source are not kept."""
    split_group: str | None = None
    """Column that holds it."""
    encoding: str | None = None
    """Encoding of label files that are not UTF-8, such as `cp1252`."""
    cleaning: str = "standard"
    """What is done to transcripts: a policy of `uniaudio.text.cleaning`."""
    channels: str | None = None
    """`mean`, `left`, `right` or `split`; None: what the job says."""
    speakers: str | None = None
    """`folders`: who speaks is the folder that a clip lies in, the outermost that is no split; `none`: no folder says so; None: folders do
    where all their names are those of speakers."""
    folders: str | None = None
    """What the name of the folder that a clip lies in is: `given_tags` where folders are classes (`genres/blues/0001.wav`), `given_text`
    where they are what is said (Speech Commands), `given_title`; None: nothing."""
    documents: bool = False
    """Whether text files beside audio are documents."""
    follow_links: bool | None = None
    """Whether links that leave the source are followed; None: what the job says."""


def read_card(path: Path, shown: str) -> Card:
    """The card at `path`. UsageError that names it as `shown`, and the key, where it is none."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{shown}: must be a TOML file, but is none: {error}.") from error
    known = {item.name for item in fields(Card)}
    if unknown := sorted(set(values) - known):
        raise UsageError(f"{shown}: must have keys of {', '.join(sorted(known))}, but has {', '.join(unknown)}.")
    for key, value in values.items():
        _check(shown, key, value)
    columns = dict(values.pop("columns", {}))
    if group := values.get("split_group"):
        columns.setdefault("split_group", group)
    if values.get("splits") == "ignore":
        values["splits"] = {}
    return replace(Card(columns=columns), **values)


def _check(shown: str, key: str, value: Any) -> None:
    allowed: dict[str, tuple[str, ...]] = {
        "domain": DOMAINS,
        "cleaning": CLEANING,
        "channels": CHANNELS,
        "speakers": SPEAKERS,
        "folders": FOLDERS,
    }
    if key in allowed and value not in allowed[key]:
        raise UsageError(f"{shown}: `{key}` must be {' or '.join(allowed[key])}, but is {value!r}.")
    if key in ("documents", "follow_links"):
        _demand(shown, key, value, lambda one: isinstance(one, bool), "true or false")
    elif key == "columns":
        _check_columns(shown, value)
    elif key == "splits" and value != "ignore":
        _check_splits(shown, value)
    elif key == "encoding":
        _demand(shown, key, value, _is_encoding, "an encoding that Python knows, such as cp1252")
    elif key != "splits":
        _demand(shown, key, value, lambda one: isinstance(one, str) and bool(one.strip()), "a string that is not empty")


def _is_encoding(value: Any) -> bool:
    try:
        "".encode(value)
    except (TypeError, LookupError, ValueError):
        return False
    return True


def _check_columns(shown: str, value: Any) -> None:
    _demand(shown, "columns", value, lambda one: isinstance(one, dict), "a table of column names")
    for name, column in value.items():
        if name not in COLUMNS:
            raise UsageError(f"{shown}: `columns` must have keys of {', '.join(COLUMNS)}, but has {name}.")
        _demand(
            shown, f"columns.{name}", column, lambda one: isinstance(one, str) and bool(one), "the name of a column"
        )


def _check_splits(shown: str, value: Any) -> None:
    _demand(shown, "splits", value, lambda one: isinstance(one, dict), 'a table, or "ignore"')
    for name, split in value.items():
        _demand(shown, f"splits.{name}", split, lambda one: one in _GIVEN_SPLITS, " or ".join(_GIVEN_SPLITS))


def _demand(shown: str, key: str, value: Any, fits: Callable[[Any], bool], wanted: str) -> None:
    if not fits(value):
        raise UsageError(f"{shown}: `{key}` must be {wanted}, but is {value!r}.")


def read_cards(source: Path) -> dict[str, Card]:
    """Corpus -> its card, of all cards of a source; `""`: the source is one corpus, and this is its card."""
    cards: dict[str, Card] = {}
    for path in sorted(source.glob(f"{CARDS_FOLDER}/*.toml")):
        if path.is_file() and not path.name.startswith("."):
            cards[path.stem] = read_card(path, f"{CARDS_FOLDER}/{path.name}")
    for path in sorted((*source.glob(CARD_NAME), *source.glob(f"*/{CARD_NAME}"))):
        corpus = "" if path.parent == source else path.parent.name
        if path.is_file() and not corpus.startswith("."):
            if corpus in cards:
                raise UsageError(
                    f"{corpus}/{CARD_NAME}: a corpus must have one card, but {CARDS_FOLDER}/{corpus}.toml is there too."
                )
            cards[corpus] = read_card(path, path.relative_to(source).as_posix())
    return cards


def is_card(path: str) -> bool:
    """Whether a path below the source is where a card lies."""
    folder, _, name = path.rpartition("/")
    return (folder == CARDS_FOLDER and name.endswith(".toml")) or (name == CARD_NAME and "/" not in folder)
