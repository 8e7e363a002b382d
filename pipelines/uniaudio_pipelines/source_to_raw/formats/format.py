"""What a format is given (the files of one corpus) and what it gives back (labels of audio files, and of stretches of them).

Folder("/data/source/LibriSpeech", paths)  ->  LibriSpeech().claim(folder)  ->  Claim(format="librispeech", label_files=…)
LibriSpeech().labels(folder, claim)        ->  Label(path="dev-clean/8000/1200/8000-1200-0000.flac", given_text="A B C", speaker="8000",
                                                     recording="8000-1200", split="val")
"""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar, Protocol, TypeVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.cards import Card

SPLITS: dict[str, str] = {
    "train": "train", "training": "train", "tr": "train",
    "val": "val", "valid": "val", "validation": "val", "validated": "train", "dev": "val", "development": "val", "cv": "val",
    "test": "test", "testing": "test", "tt": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""What sources call their splits."""
_DEVELOPMENT = "development"
_SPLIT_WORDS = re.compile(r"evaluation|training|train")


def composed(name: str) -> str:
    """The name as Unicode NFC, by which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


View = TypeVar("View")


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenTime:
    """A word or a phone with the time that the source gives it."""

    word: str
    start_s: float
    duration_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """What a source says of one audio file, or of a stretch or a channel of it. Everything but `path` may be left out."""

    path: str
    """Path of the audio file below the corpus folder, `/`-separated; `container.tar/member.wav` and `table.parquet/17` for audio inside one."""
    start_s: float = 0.0
    end_s: float | None = None
    """End of the stretch; None: to the end of the file."""
    channel: int | None = None
    """Channel, from 0; None: all of them."""
    utterance: str | None = None
    """The source's own name of it."""
    recording: str | None = None
    domain: str | None = None
    licence: str | None = None
    speaker: str | None = None
    given_text: str | None = None
    given_title: str | None = None
    given_captions: tuple[str, ...] = ()
    given_tags: tuple[str, ...] = ()
    given_words: tuple[GivenTime, ...] = ()
    """Words with their times from the file's start."""
    language: str | None = None
    split: str | None = None
    """`train`, `val` or `test`."""
    split_group: str | None = None
    part_of: str | None = None
    part: str | None = None
    facts: tuple[Fact, ...] = ()
    """What has no field of its own, in the source's own words."""
    said_by: str = ""
    """File and line that say so, for messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A line or a file of labels that could not be used; it is a dropped row with this reason."""

    path: str
    reason: str
    """snake_case."""
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A format's statement that it knows some files of a folder."""

    format: str
    label_files: tuple[str, ...]
    """Files that hold labels, below the corpus folder: none of them is a document of text."""
    containers: tuple[str, ...] = ()
    """Files that hold audio inside (tars, tables)."""
    summary: str = ""
    """What was found, for a person: `LibriSpeech: 4 chapters of *.trans.txt, SPEAKERS.TXT`."""
    details: dict[str, Any] = field(default_factory=dict)
    """What `labels` wants to know again, such as which column is which."""


class Folder:
    """The files of one corpus, listed once."""

    def __init__(self, root: Path, paths: Sequence[str], card: Card | None = None, source: Path | None = None) -> None:
        """`paths` are below `root`, `/`-separated, sorted, without hidden files. `source`: the source folder, by default `root`."""
        self.root, self.paths, self.card = root, paths, card or Card()
        self.source = source or root
        self._known: frozenset[str] | None = None
        self._is_developed: bool | None = None
        self._composed: dict[str, str] | None = None
        self._folded: dict[str, str | None] | None = None
        self._derived: dict[Callable[[Folder], Any], Any] = {}

    def derived(self, make: Callable[["Folder"], View]) -> View:
        """What `make(folder)` makes of the listing, made once."""
        if make not in self._derived:
            self._derived[make] = make(self)
        view: View = self._derived[make]
        return view

    def __contains__(self, path: str) -> bool:
        if self._known is None:
            self._known = frozenset(self.paths)
        return path in self._known

    def find(self, path: str) -> str | None:
        """The file that `path` means, below the folder: names are equal where their NFC is (macOS writes NFD), or else but for their case.
        None where there is none."""
        if path in self:
            return path
        if self._composed is None and not path.isascii():
            self._composed = {composed(known): known for known in reversed(self.paths) if not known.isascii()}
        if self._composed is not None and (known := self._composed.get(composed(path))):
            return known
        return self._find_folded(path)

    def _find_folded(self, path: str) -> str | None:
        """The only file whose path is this one in other letters, small or capital, as Windows and macOS take names."""
        if self._folded is None:
            self._folded = {}
            for known in self.paths:
                key = composed(known).casefold()
                self._folded[key] = None if key in self._folded else known
        return self._folded.get(composed(path).casefold())

    def below(self, file: str, name: str) -> str:
        """The path, below this folder, that `name` in the label file `file` means: relative to that file's folder, or absolute.
        One that leaves the folder begins with `../`, or with `/` where it leaves the source as well; nothing is read for that."""
        if name.startswith("/"):
            return self._below_root(PurePosixPath(posixpath.normpath(name)))
        return posixpath.normpath(posixpath.join(posixpath.dirname(file), name))

    def locate(self, file: str, name: str) -> str | None:
        """The file that `name` in the label file `file` means: beside that file, or below the folder; written on Windows, too."""
        for written in dict.fromkeys((name, name.replace("\\", "/"))):
            for path in dict.fromkeys((self.below(file, written), self.below("", written))):
                if located := self.find(path):
                    return located
        return None

    def _below_root(self, path: PurePosixPath) -> str:
        for root in (self.root, self.source):
            if path.is_relative_to(root):
                prefix = posixpath.relpath(root, self.root)
                return posixpath.normpath(posixpath.join(prefix, path.relative_to(root).as_posix()))
        return path.as_posix()

    def split(self, word: str) -> str | None:
        """`train`, `val` or `test` for what the source calls a split; the card has the first word."""
        word = word.strip()
        if self.card.splits is not None and (not self.card.splits or word in self.card.splits):
            said = self.card.splits.get(word, "ignore")
            return None if said == "ignore" else said
        split = SPLITS.get(word.lower())
        return "train" if split == "val" and word.lower() == _DEVELOPMENT and self._develops else split

    @property
    def _develops(self) -> bool:
        """Whether the corpus has a development set and one for evaluation, and none for training: Clotho and DCASE train on the former."""
        if self._is_developed is None:
            words = {word for path in self.paths for word in _SPLIT_WORDS.findall(path.lower())}
            self._is_developed = "evaluation" in words and not words & {"train", "training"}
        return self._is_developed

    def open(self, path: str) -> IO[bytes]:
        return (self.root / path).open("rb")

    def absolute(self, path: str) -> Path:
        return self.root / path


class Format(Protocol):
    """One way to keep a corpus. Has no state: what it finds depends on the files alone."""

    name: ClassVar[str]

    def claim(self, folder: Folder) -> Claim | None:
        """What of the folder is of this format, or None. Looks at names and at the beginnings of a few files, never at all of them."""
        ...

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        """Streams: memory does not grow with the number of labels where the format allows it. A broken line is a `Problem`, not an
        exception."""
        ...


class Container(Protocol):
    """A format whose audio lies inside files of it: says how to get at one."""

    name: ClassVar[str]

    def open_audio(self, file: Path, member: str) -> bytes:
        """The bytes of the audio file `member` of the container `file`. `DataError` where it is not there or is more than 2 GiB."""
        ...

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        """`(member, its bytes)` of every audio file inside, in the order in which they lie, so that a container is read once to be
        hashed. `DataError` where it is broken."""
        ...
