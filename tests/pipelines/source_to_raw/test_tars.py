"""Tars through the webdataset library: the bytes are those that the standard library wrote before."""

import hashlib
import io
import tarfile
from pathlib import Path

from uniaudio_pipelines.source_to_raw.tars import clip_tar

CLIPS = (
    ("0" * 32, b"fLaC" + bytes(range(256)) * 5, '{"path": "a/b.wav"}'),
    ("f" * 32, b"x", '{"path": "Gr\u00fc\u00dfe"}'),
)
GOLDEN = "066992a2c05590ce2cb62de84efa29986722464fc2d503d53026b4c6c665d63a"
"""Of the tar that the edge wrote with `tarfile` alone."""


def write(path: Path) -> list[int]:
    with clip_tar(path) as tar:
        return [tar.add(clip_id, io.BytesIO(flac), len(flac), said) for clip_id, flac, said in CLIPS]


def test_the_bytes_are_those_of_before(tmp_path: Path) -> None:
    write(tmp_path / "x.tar")
    assert hashlib.sha256((tmp_path / "x.tar").read_bytes()).hexdigest() == GOLDEN


def test_offsets_are_where_the_audio_begins(tmp_path: Path) -> None:
    offsets = write(tmp_path / "x.tar")
    data = (tmp_path / "x.tar").read_bytes()
    assert [data[offset : offset + len(flac)] for offset, (_, flac, _) in zip(offsets, CLIPS, strict=True)] == [
        flac for _, flac, _ in CLIPS
    ]


def test_members_are_pairs_without_times_or_owners(tmp_path: Path) -> None:
    write(tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [f"{clip}.{end}" for clip, _, _ in CLIPS for end in ("flac", "json")]
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in members} == {
        (0, 0, 0, "", "", 0o644)
    }
