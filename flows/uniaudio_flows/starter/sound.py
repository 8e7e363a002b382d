"""Sounds of the starter, which their file and folder names tell apart.

Yields   Item(path="footsteps/gravel2.ogg", audio=…, metadata={"domain": "sound", "given_title": "gravel", "given_tags": ["footsteps"], …})

Variants of a sound (`gravel1`, `gravel2`) have one title, and all sounds of a title are in one split.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from uniaudio_flows.demo.corpus import freedesktop_items, opensfx_items
from uniaudio_flows.demo.layout import Item
from uniaudio_flows.starter.splits import shares

_UFO = "usr/share/games/ufoai/base/0snd.pk3"
_MODS = "usr/share/games/minetest/games/minetest_game/mods"
_SAMPLES = "usr/share/sonic-pi"
_DRUMKITS = "usr/share/hydrogen/data/drumkits"
_KINDS = {
    "ambi": "ambient",
    "bass": "synthesizer bass",
    "bd": "bass drum",
    "drum": "drum",
    "elec": "electronic blip",
    "glitch": "glitch",
    "guit": "guitar",
    "hat": "hi-hat",
    "loop": "loop",
    "mehackit": "robot",
    "misc": "",
    "perc": "percussion",
    "sn": "snare drum",
    "tabla": "tabla",
    "vinyl": "vinyl",
}
"""First word of a sample's name -> what it stands for."""


def titled(name: str) -> str:
    """Words of a file's name, without the numbers that tell variants apart: `Crash-Med_02` is `crash med`."""
    words = re.split(r"[\s_.-]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    bare = [word if word.isdigit() else word.strip("0123456789") for word in words]
    return " ".join(word.lower() for word in bare if word and not word.isdigit())


def ufoai_items(tree: Path) -> Iterator[Item]:
    with zipfile.ZipFile(tree / _UFO) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith((".ogg", ".wav")):
                path = name.removeprefix("sound/")
                folder = path.rpartition("/")[0]
                yield _item(path, archive.read(name), Path(name).stem, [titled(part) for part in folder.split("/")])


def minetest_items(tree: Path) -> Iterator[Item]:
    for path in _files(tree / _MODS, "*/sounds/*.ogg"):
        mod = path.parts[-3]
        yield _item(
            f"{mod}/{path.name}", path, path.stem.removeprefix(f"{mod}_"), [] if mod == "default" else [titled(mod)]
        )


def sonic_pi_items(tree: Path) -> Iterator[Item]:
    for path in _files(tree / _SAMPLES, "*/*.flac", "*/*.wav"):
        first, _, rest = path.stem.partition("_")
        kind = _KINDS.get(first)
        yield _item(path.name, path, rest if kind is not None and rest else path.stem, [kind] if kind else [])


def hydrogen_items(tree: Path) -> Iterator[Item]:
    """Strokes of two drum kits; `808_` names the kit."""
    for path in _files(tree / _DRUMKITS, "*/*.wav", "*/*.flac"):
        kit = path.parent.name
        yield _item(f"{kit}/{path.name}", path, path.stem.removeprefix("808_"), ["drum"])


def in_splits(corpus: str, read: Callable[[Path], Iterator[Item]]) -> Callable[[Path], Iterator[Item]]:
    """What `read` yields, by title in one split each."""

    def items(tree: Path) -> Iterator[Item]:
        all_items = list(read(tree))
        splits = shares(corpus, [_group(item) for item in all_items])
        for item in all_items:
            yield Item(path=item.path, audio=item.audio, metadata={**item.metadata, "split": splits[_group(item)]})

    return items


def _group(item: Item) -> str:
    return str(item.metadata.get("split_group") or item.metadata["given_title"])


def _item(path: str, audio: Path | bytes, name: str, tags: list[str]) -> Item:
    title = titled(name) or name.lower()
    return Item(
        path=path,
        audio=audio,
        metadata={"domain": "sound", "given_title": title, "given_tags": [tag for tag in tags if tag]},
    )


def _files(folder: Path, *patterns: str) -> list[Path]:
    """Links are second names of other files."""
    return sorted(
        path for pattern in patterns for path in folder.glob(pattern) if path.is_file() and not path.is_symlink()
    )


READERS = {
    "opensfx": opensfx_items,
    "ufoai": ufoai_items,
    "minetest": minetest_items,
    "sonic-pi": sonic_pi_items,
    "freedesktop": freedesktop_items,
    "hydrogen": hydrogen_items,
}
"""Corpus -> what reads it from its package's tree."""
