"""Read labelled sounds from OpenSFX's `opensfx.cat`.

Reads    (offset u32le, length u32le) for each sound; at the offset a Pascal string such as
         `"Ship horn". Original "ship2.aif" by Leon Milo. License: Creative Commons Zero 1.0.`, then a RIFF file
Yields   Sound(6, "Ship horn", "Creative Commons Zero 1.0", b"RIFF…")
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uniaudio_schemas.errors import DataError

OFFSET_MASK = 0x7FFFFFFF  # the highest bit marks the newer layout
LABEL = re.compile(r'^"(?P<title>[^"]+)".*?Licen[sc]e: (?P<licence>.+?)\.?$', re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    index: int
    title: str
    licence: str
    audio: bytes
    """WAV."""


def read_sounds(path: Path) -> Iterator[Sound]:
    """The sounds that have a title, in file order. DataError where the file is not such a catalogue."""
    data = path.read_bytes()
    try:
        num_sounds = (struct.unpack_from("<I", data)[0] & OFFSET_MASK) // 8
        for index in range(num_sounds):
            offset = struct.unpack_from("<I", data, 8 * index)[0] & OFFSET_MASK
            label = data[offset + 1 : offset + 1 + data[offset]].rstrip(b"\0").decode("utf-8")
            riff = offset + 1 + data[offset]
            if data[riff : riff + 4] != b"RIFF":
                raise DataError(f"{path}: sound {index} is no RIFF file.")
            size = 8 + struct.unpack_from("<I", data, riff + 4)[0]
            match = LABEL.match(label)
            if match:
                yield Sound(index=index, title=match["title"], licence=match["licence"], audio=data[riff : riff + size])
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise DataError(f"{path}: not an OpenSFX catalogue ({error}).") from error
