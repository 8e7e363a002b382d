"""WebDataset tars of clips, written through the webdataset library: `<clip_id>.flac` and `<clip_id>.json` of each clip.

The same clips always give the same bytes: USTAR, no times, no owners, the clips in the order in which they are added.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

HEADER = tarfile.BLOCKSIZE
"""Bytes before each member's data in a USTAR archive; member names here are short, so there is never more than one header."""
_MODE = 0o644


class ClipTar:
    """A tar that is being written."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, clip_id: str, flac: IO[bytes], num_bytes: int, described: str) -> int:
        """Append a clip, whose FLAC is read from where `flac` stands; returns the offset of its first byte."""
        # The library takes a member as bytes in memory; hours of audio go through its stream instead.
        member = tarfile.TarInfo(f"{clip_id}.flac")
        member.size, member.mode = num_bytes, _MODE
        offset = int(self._writer.tarstream.offset) + HEADER
        self._writer.tarstream.addfile(member, flac)
        self._writer.write({"__key__": clip_id, "json": described.encode()})
        return offset


@contextmanager
def clip_tar(path: Path) -> Iterator[ClipTar]:
    """Write a tar at `path`."""
    import webdataset

    with (
        path.open("wb") as file,
        webdataset.TarWriter(file, user="", group="", mode=_MODE, mtime=0, encoder=False, compress=False) as writer,
    ):
        yield ClipTar(writer)
