"""Music of the starter, with what tags, song.ini files and a list of tracks say of it.

Yields   Item(path="win/Apex Aleph.ogg", audio=…, metadata={"domain": "music", "given_title": "Apex Aleph", "given_tags": ["by Maxstack"], …})
"""

import re
from collections.abc import Iterator
from pathlib import Path

from uniaudio_flows.demo.corpus import opsound_items, sectoid_items
from uniaudio_flows.demo.layout import Item

_SINGULARITY = "usr/share/games/singularity/music"
_DRASCULA = "usr/share/scummvm/drascula/audio"
_IMMICH = "immich_memories_music/tracks"
_TRACK = re.compile(
    r"^ +(?P<name>\S+)\.opus +(?P<tempo>\d+) bpm +(?P<key>[A-G][b#]? (?:major|minor)) +seed \d+ +\[(?P<style>\w+)\]",
    re.MULTILINE,
)


def singularity_items(tree: Path) -> Iterator[Item]:
    import soundfile

    for path in sorted((tree / _SINGULARITY).rglob("*.ogg")):
        with soundfile.SoundFile(path) as file:
            tags = file.copy_metadata()
        title, artist = tags.get("title") or path.stem, tags.get("artist")
        metadata = {
            "domain": "music",
            "given_title": title,
            "given_tags": [f"by {artist}"] if artist else [],
            "split_group": path.stem,
        }
        yield Item(path=path.relative_to(tree / _SINGULARITY).as_posix(), audio=path, metadata=metadata)


def drascula_items(tree: Path) -> Iterator[Item]:
    """Tracks that have numbers and no names; other folders of the package link to them."""
    for path in sorted((tree / _DRASCULA).glob("*.ogg")):
        if not path.is_symlink():
            yield Item(path=path.name, audio=path, metadata={"domain": "music", "split_group": path.stem})


def immich_items(tree: Path) -> Iterator[Item]:
    """Machine-made, which each track says; mood by folder, the rest by the list in the package's licence."""
    (licence_file,) = tree.glob("*.dist-info/licenses/LICENSE-MUSIC")
    tracks = {track["name"]: track for track in _TRACK.finditer(licence_file.read_text(encoding="utf-8"))}
    for path in sorted((tree / _IMMICH).rglob("*.opus")):
        tags, facts = [path.parent.name], {"synthetic": "yes"}
        if track := tracks.get(path.stem):
            tags += [track["style"], f"{track['tempo']} bpm", track["key"]]
            facts |= {"tempo_bpm": track["tempo"], "key": track["key"]}
        metadata = {"domain": "music", "given_tags": tags, "facts": facts, "split_group": path.stem}
        yield Item(path=path.relative_to(tree / _IMMICH).as_posix(), audio=path, metadata=metadata)


READERS = {
    "singularity": singularity_items,
    "drascula": drascula_items,
    "opsound": opsound_items,
    "sectoid": sectoid_items,
    "immich": immich_items,
}
"""Corpus -> what reads it from its package's tree."""
