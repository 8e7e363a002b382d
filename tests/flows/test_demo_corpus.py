"""The two container readers, on containers made here, and the package cache."""

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from uniaudio_flows.demo import packages
from uniaudio_flows.demo.opensfx import read_sounds
from uniaudio_flows.demo.packages import Package, fetch
from uniaudio_flows.demo.queen import read_lines
from uniaudio_schemas.errors import DataError, UsageError


def sentence(number: int, text: str) -> bytes:
    raw = struct.pack(">IB", number, len(text)) + text.encode("cp437")
    return raw + bytes(-len(raw) % 4)


def dialogue(talk_key: int, joe: list[tuple[int, str]], person: list[tuple[int, str]]) -> bytes:
    joe_block = b"".join(sentence(*line) for line in joe)
    person_block = b"".join(sentence(*line) for line in person)
    person_offset = 32 + 96 + len(joe_block)
    header = struct.pack(
        ">13h",
        1,
        1,
        talk_key,
        len(joe) - 1,
        len(person) - 1,
        0,
        0,
        0,
        0,
        0,
        0,
        person_offset,
        person_offset + len(person_block),
    )
    return bytes(20) + header + bytes(32 + 96 - len(header)) + joe_block + person_block


def container(files: dict[str, bytes]) -> bytes:
    offset = 15 + 21 * len(files)
    table, body = b"", b""
    for name, data in files.items():
        table += struct.pack(">12sBII", name.encode(), 1, offset + len(body), len(data))
        body += data
    return b"QTBL" + bytes(8) + b"\1" + struct.pack(">H", len(files)) + table + body


def test_each_recording_gets_the_line_it_speaks(tmp_path: Path) -> None:
    script = dialogue(2, [(0, "*FR"), (6, "Hello there.*15")], [(0, "0"), (1, "*FLYou again?*02Go away!*05")])
    files = {"AND1.DOG": script, "020006J1.SB": b"j", "020001P2.SB": b"p2", "020001P3.SB": b"p3"}
    path = tmp_path / "queen.1c"
    path.write_bytes(container(files))
    lines = [(line.name, line.speaker, line.text, line.audio) for line in read_lines(path)]
    assert lines == [
        ("020001P2", "and", "You again?", b"p2"),
        ("020001P3", "and", "Go away!", b"p3"),
        ("020006J1", "joe", "Hello there.", b"j"),
    ]


@pytest.mark.parametrize("data", [b"", b"QTBL", b"RIFF" + bytes(40), b"QTBL" + bytes(8) + b"\1" + struct.pack(">H", 9)])
def test_a_file_that_is_no_container_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "queen.1c"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"queen\.1c"):
        list(read_lines(path))


def test_a_sound_has_its_title_and_licence(tmp_path: Path) -> None:
    label = b'"Ship horn". By Leo. License: Creative Commons Zero 1.0.\0'
    riff = b"RIFF" + struct.pack("<I", 4) + b"WAVE"
    entry = struct.pack("<II", 8, 0)
    path = tmp_path / "opensfx.cat"
    path.write_bytes(entry + bytes([len(label)]) + label + riff + b"more")
    (sound,) = read_sounds(path)
    assert (sound.title, sound.licence, sound.audio) == ("Ship horn", "Creative Commons Zero 1.0", riff)


def test_a_cached_package_is_not_fetched_again(tmp_path: Path) -> None:
    data = b"a package"
    import hashlib

    sha256 = hashlib.sha256(data).hexdigest()
    folder = tmp_path / "packages" / sha256[:16]
    folder.mkdir(parents=True)
    (folder / "thing_1.deb").write_bytes(data)
    package = Package(name="thing", version="1", client="apt", sha256=sha256)
    assert fetch(package, tmp_path) == folder / "thing_1.deb"


def test_a_system_without_the_client_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    package = Package(name="thing", version="1", client="apt", sha256="0" * 64)
    with pytest.raises(UsageError, match="uniaudio demo --source "):
        fetch(package, tmp_path)


@pytest.mark.parametrize("build", ["another release", "another build"])
def test_a_system_whose_archive_has_another_version_is_told_what_to_do(
    build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tmp_path / "bin/apt-get"
    client.parent.mkdir()
    fails = "echo 'E: Version not found' >&2; exit 100" if build == "another release" else "echo x > thing_1.deb"
    client.write_text(f'#!/bin/sh\ncase "$*" in *download*) {fails};; esac\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(client.parent))
    package = Package(name="thing", version="1", client="apt", sha256="0" * 64)
    message = "E: Version not found." if build == "another release" else "the sha256 must be 000"
    with pytest.raises((UsageError, DataError), match=f"{message}.* Or put audio .*uniaudio demo --source "):
        fetch(package, tmp_path / "cache")


def test_no_network_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip warns of it, and then says that there is no such package."""
    says = "import sys; sys.exit(\"WARNING: Retrying after connection broken by 'X'\\nERROR: No matching distribution found for m==1\")"

    @contextmanager
    def pip() -> Iterator[list[str]]:
        yield [sys.executable, "-c", says]

    monkeypatch.setattr(packages, "_pip", pip)
    wanted = Package(name="m", version="1", client="pip", sha256="0" * 64)
    with pytest.raises(
        UsageError, match=r"downloading m 1 failed: pip reaches no server, and the cache has no copy\.$"
    ):
        fetch(wanted, tmp_path)
    monkeypatch.setattr(packages, "NOT_REACHED", ())
    with pytest.raises(UsageError, match="No matching distribution"):
        fetch(wanted, tmp_path)
