"""Lay out the demo's source folder: about 5 minutes of speech, 2 of sound, 4 of music with real stems, and text, each with what its package says of it.

Writes   <source>/<corpus>/<file> and <source>/<corpus>/metadata.jsonl with lines such as
         {"path": "020006J1.mp3", "domain": "speech", "language": "en", "speaker": "joe", "given_text": "At least I …", "licence": "freeware"}
"""

import configparser
import gzip
import json
import re
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from uniaudio_flows.demo.layout import Item, write_corpus
from uniaudio_flows.demo.opensfx import read_sounds
from uniaudio_flows.demo.packages import Package, fetch, unpack_deb
from uniaudio_flows.demo.queen import Line, read_lines

QUEEN = Package(
    name="flight-of-the-amazon-queen",
    version="1.0.0-9",
    client="apt",
    sha256="40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1",
)
ASTERISK = Package(
    name="asterisk-core-sounds-en-g722",
    version="1.6.1-1",
    client="apt",
    sha256="38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
)
OPENSFX = Package(
    name="openttd-opensfx",
    version="1.0.3-2",
    client="apt",
    sha256="2898b4677a3caccc4abc08fb4cf83319047b5a04729291deb5c77a8cd713c006",
)
FREEDESKTOP = Package(
    name="sound-theme-freedesktop",
    version="0.8-2",
    client="apt",
    sha256="135cc4893ba590d428577bc3bf42df756a165c05a2a43f84311ad7db779a70ea",
)
OPSOUND = Package(
    name="asterisk-moh-opsound-g722",
    version="2.03-1.1",
    client="apt",
    sha256="8d6b39d6f2e8feff54a042c4a25e1b72f3e2478d05ee372c92f77446fa0b1671",
)
SECTOID = Package(
    name="fretsonfire-songs-sectoid",
    version="1.dfsg-3.1",
    client="apt",
    sha256="14c1ed3e43c1a6a80eae7698f0469a0825cd1184e441968d62df89ca418aa0b4",
)
REFERENCE = Package(
    name="debian-reference-en",
    version="2.100",
    client="apt",
    sha256="9f31d3a17df505de09689ca255512ea58c1fc47c59bb1b0c7bf1c23362e9743f",
)

QUEEN_BYTES = 480_000
"""About 4 minutes: the recordings are MP3 of roughly 2.1 kB a second."""
QUEEN_LINE_BYTES = range(3_000, 13_000)
"""About 1.5 to 6 seconds."""
ASTERISK_BYTES = 640_000
"""80 seconds at 64 kbit/s."""
ASTERISK_CLIP_BYTES = range(12_000, 64_000)
TEXT_CHARACTERS = 200_000
LIMITS = {
    "max_speech_s": 300.0,
    "max_sound_s": 120.0,
    "max_music_s": 220.0,
    "max_pieces_per_clip": 2,
    "max_text_passages": 200,
}
"""Settings of the annotation, such that two cores finish the demo within ten minutes. Two pieces are cut from each music recording and each
stem, so that all three songs with stems are in the data: one to train on, two held out."""
SONGS = ("Feelings", "Escape from chaosland", "War of freedom")


def lay_out_demo(source: Path, cache: Path, log: Callable[[str], None]) -> None:
    """Fill `source` with the demo's corpus. A corpus folder that is complete (it has its `metadata.jsonl`) is left as it is."""
    parts: tuple[tuple[str, Package, Callable[[Path], Iterator[Item]]], ...] = (
        ("queen", QUEEN, _queen),
        ("asterisk", ASTERISK, _asterisk),
        ("opensfx", OPENSFX, opensfx_items),
        ("freedesktop", FREEDESKTOP, freedesktop_items),
        ("opsound", OPSOUND, opsound_items),
        ("sectoid", SECTOID, _sectoid),
        ("debian-reference", REFERENCE, reference_items),
    )
    for corpus, package, read in parts:
        folder = source / corpus
        if (folder / "metadata.jsonl").exists():
            continue
        tree = unpack_deb(fetch(package, cache), cache)
        num_files = write_corpus(folder, read(tree))
        log(f"{corpus}: {num_files} files from {package.name} {package.version}")

    (source / ".limits.json").write_text(json.dumps(LIMITS) + "\n", encoding="utf-8")


def _queen(tree: Path) -> Iterator[Item]:
    by_speaker: dict[str, list[Line]] = {}
    for line in read_lines(tree / "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"):
        # APE.DOG and CHIEF4.DOG are dialogues in invented gibberish.
        if len(line.audio) in QUEEN_LINE_BYTES and len(line.text.split()) >= 3 and line.speaker not in ("ape", "chief"):
            by_speaker.setdefault(line.speaker, []).append(line)
    num_bytes = 0
    for round_of_lines in zip_longest(
        *by_speaker.values()
    ):  # a line of each speaker in turn: many voices in few minutes
        for line in round_of_lines:
            if line is None or num_bytes > QUEEN_BYTES:
                continue
            num_bytes += len(line.audio)
            metadata = {
                "domain": "speech",
                "language": "en",
                "speaker": line.speaker,
                "given_text": line.text,
                "split_group": line.speaker,
                "licence": "freeware (redistribution and modification allowed, no fee)",
            }
            yield Item(path=f"{line.name}.mp3", audio=line.audio, metadata=metadata)


def _asterisk(tree: Path) -> Iterator[Item]:
    num_bytes = 0
    for path in sorted((tree / "usr/share/asterisk/sounds/en_US_f_Allison").glob("*.g722")):
        size = path.stat().st_size
        if size in ASTERISK_CLIP_BYTES and num_bytes + size < ASTERISK_BYTES:
            num_bytes += size
            metadata = {"domain": "speech", "language": "en", "speaker": "allison", "licence": "CC-BY-SA-3.0"}
            yield Item(path=path.name, audio=path, metadata=metadata)


def opensfx_items(tree: Path) -> Iterator[Item]:
    for sound in read_sounds(tree / "usr/share/games/openttd/baseset/opensfx/opensfx.cat"):
        metadata = {"domain": "sound", "given_title": sound.title, "split_group": sound.title, "licence": sound.licence}
        yield Item(path=f"{sound.index:02d}.wav", audio=sound.audio, metadata=metadata)


def freedesktop_items(tree: Path) -> Iterator[Item]:
    for path in sorted((tree / "usr/share/sounds/freedesktop/stereo").glob("*.oga")):
        if path.is_symlink():
            continue
        title = path.stem.replace("-", " ")
        yield Item(
            path=path.name,
            audio=path,
            metadata={"domain": "sound", "given_title": title, "licence": "CC-BY-SA-3.0 or GPL-2"},
        )


def opsound_items(tree: Path) -> Iterator[Item]:
    for path in sorted(tree.rglob("*.g722")):
        artist, _, title = path.stem.partition("-")
        metadata = {
            "domain": "music",
            "given_title": title.replace("_", " "),
            "given_tags": [f"by {artist.replace('_', ' ').title()}"],
            "licence": "CC-BY-SA-3.0",
        }
        yield Item(path=path.name, audio=path, metadata=metadata)


def _sectoid(tree: Path) -> Iterator[Item]:
    return (item for item in sectoid_items(tree) if item.metadata["part_of"] in SONGS)


def sectoid_items(tree: Path) -> Iterator[Item]:
    """For each song the lead guitar, and the band without it."""
    for file in sorted((tree / "usr/share/games/fretsonfire/data/songs/sectoid").glob("*/song.ini")):
        folder, song = file.parent, file.parent.name
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(file, encoding="utf-8")
        for part, name in (("guitar", "guitar.ogg"), ("accompaniment", "song.ogg")):
            metadata = {
                "domain": "music",
                "given_title": f"{ini['song']['name']} ({part})",
                "given_tags": [ini["song"]["artist"], part],
                "split_group": song,
                "part_of": song,
                "part": part,
                "licence": "MIT",
            }
            yield Item(path=f"{song.replace(' ', '_')}/{name}", audio=folder / name, metadata=metadata)


def reference_items(tree: Path) -> Iterator[Item]:
    """The sections of the first chapters, each a document, up to about `TEXT_CHARACTERS`."""
    with gzip.open(tree / "usr/share/debian-reference/debian-reference.en.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read().replace("\N{NO-BREAK SPACE}", " ")
    body = text[text.index("\nChapter 1.") + 1 :][:TEXT_CHARACTERS]
    for section in re.split(r"\n(?=\d+\.\d+\. )", body):
        number, _, title = section.splitlines()[0].partition(" ")
        metadata = {"domain": "text", "language": "en", "given_title": title.strip(), "licence": "GPL-2.0-or-later"}
        yield Item(path=f"section-{number.strip('.')}.txt", audio=section.encode(), metadata=metadata)
