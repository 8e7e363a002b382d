"""Which corpora a source holds, and which formats each of them is kept in.

Reads    names of files, and the beginnings of those that may hold labels
Row out  Corpus(name="LibriSpeech", prefix="LibriSpeech", claims=(Claim(format="librispeech", label_files=…),), …)

A corpus is a top folder of the source; loose files are the corpus `files`. A source whose own folder holds the labels of a corpus
(`metadata.csv` of LJSpeech), or `train` beside `test`, or folders of speakers, or a card, is itself one corpus, called as the card says, or
else like the format.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from uniaudio_schemas.errors import UsageError

from uniaudio_pipelines.source_to_raw.cards import Card, is_card
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Format, Problem
from uniaudio_pipelines.source_to_raw.formats.table import BROKEN, FORMATS, LOOSE_FORMATS, UNNAMED
from uniaudio_pipelines.source_to_raw.speakers import speakers_of

LOOSE_CORPUS = "files"
"""Corpus of files that lie in the source folder itself."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus and what is known of its formats."""

    name: str
    prefix: str
    """Folder of the corpus below the source; empty for the source folder itself."""
    folder: Folder
    claims: tuple[Claim, ...]
    is_whole: bool = False
    """Whether it is all of the source."""
    problems: tuple[Problem, ...] = ()
    """Problems of formats that failed to look; paths are below the source."""

    @property
    def card(self) -> Card:
        return self.folder.card

    def path(self, below: str) -> str:
        """Path below the source."""
        return f"{self.prefix}/{below}" if self.prefix else below

    @cached_property
    def speakers(self) -> dict[str, str]:
        """Folder below the corpus -> who speaks in it, where folders say so."""
        return speakers_of(self.folder)

    @cached_property
    def label_files(self) -> frozenset[str]:
        """Label files below the source, containers too."""
        return frozenset(self.path(one) for claim in self.claims for one in (*claim.label_files, *claim.containers))


@dataclass
class _Look:
    """What formats find in a folder, one after the other: a file that one of them knows is not shown to the next."""

    claims: list[Claim] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def recognize(root: Path, paths: Sequence[str], cards: dict[str, Card]) -> list[Corpus]:
    """The corpora of the source `root` whose usable files are `paths` (below it, sorted)."""
    paths = [path for path in paths if not is_card(path)]
    whole = _whole_source(root, paths, cards)
    if whole is not None:
        return [whole]
    corpora = []
    for name, prefix, below in _corpora(paths):
        folder = Folder(root / prefix, below, cards.get(name), root)
        corpora.append(_corpus(name, prefix, folder))
    return corpora


def _corpora(paths: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Name, prefix, and paths below it; `paths` are sorted, but `a-b/` stands between the files of `a` and those in `a/`."""
    by_name: dict[str, list[str]] = {}
    loose = [path for path in paths if "/" not in path]
    for path in paths:
        name, slash, rest = path.partition("/")
        if slash:
            by_name.setdefault(name, []).append(rest)
    if loose:
        # A folder of that name holds files of the corpus, too.
        yield LOOSE_CORPUS, "", loose
    for name, below in sorted(by_name.items()):
        yield name, name, below


def _whole_source(root: Path, paths: Sequence[str], cards: dict[str, Card]) -> Corpus | None:
    card = cards.get("")
    folder = Folder(root, paths, card, root)
    splits = {folder.split(name) for name in {path.partition("/")[0] for path in paths if "/" in path}}
    is_split = "train" in splits and len(splits - {None}) > 1
    is_spoken = bool(speakers_of(folder))
    if card is None and not is_split and not is_spoken and all("/" in path for path in paths):
        return None
    corpus = _corpus("", "", folder)
    at_top = [
        claim.format
        for claim in corpus.claims
        if claim.format not in LOOSE_FORMATS and any("/" not in one for one in claim.label_files)
    ]
    if card is None and not is_split and not is_spoken and not at_top:
        return None
    by_format = next(
        (name for name in (*at_top, *(claim.format for claim in corpus.claims)) if name not in UNNAMED), None
    )
    name = (card.name if card else None) or by_format or LOOSE_CORPUS
    return replace(corpus, name=name, is_whole=True)


def _corpus(name: str, prefix: str, folder: Folder) -> Corpus:
    look, shown = _Look(), folder
    for one in _asked(name, folder.card):
        try:
            claim = one.claim(shown)
        except BROKEN as error:
            look.problems.append((prefix or ".", f"{one.name}: {' '.join(str(error).split())[:300]}"))
            continue
        if claim is not None:
            look.claims.append(claim)
            known = {*claim.label_files, *claim.containers}
            left = [path for path in shown.paths if path not in known]
            shown = Folder(folder.root, left, folder.card, folder.source)
    problems = tuple(Problem(path=path, reason="unreadable", detail=detail) for path, detail in look.problems)
    return Corpus(name=name, prefix=prefix, folder=folder, claims=tuple(look.claims), problems=problems)


def _asked(name: str, card: Card) -> Sequence[Format]:
    if card.format is None:
        return FORMATS
    asked = [one for one in FORMATS if one.name == card.format]
    if not asked:
        names = ", ".join(one.name for one in FORMATS)
        raise UsageError(f"card of {name or 'the source'}: `format` must be one of {names}, but is {card.format!r}.")
    return asked
