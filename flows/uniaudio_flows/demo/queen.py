"""Read speech and its script from the `queen.1c` container of the game Flight of the Amazon Queen.

Reads    queen.1c: `QTBL`, 6 bytes of version, 2 bytes, 1 byte of compression (1 = MP3), count u16be,
         then entries of name[12], u8, offset u32be, size u32be
Yields   Line("020006J1", "and", "At least I don't look like I need to wear one.", b"<mp3>")

Dialogue scripts (`.DOG`) begin with 20 bytes of padding, then big-endian words: number of levels, …, the talk key (third), the number of
Joe's and of the other person's sentences (fourth, fifth), and the offset of the other person's sentences (twelfth). A sentence is
id u32, length u8, text, padded to 4. Commands such as `*02` or `*FR` cut a sentence into lines, each with a recording of its own named
`<talk key, 2 decimal><sentence id, 4 hex><J or P><line, hex>`.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uniaudio_schemas.errors import DataError

PADDING = 20
LEVELS_OFFSET = 32
BYTES_PER_LEVEL = 96
COMMAND = re.compile(r"\*[A-Z0-9]{2}")
MP3 = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    name: str
    speaker: str
    """`joe`, or the dialogue's file name without its number."""
    text: str
    audio: bytes
    """MP3."""


@dataclass(frozen=True, slots=True)
class Entry:
    offset: int
    size: int


def read_lines(path: Path) -> Iterator[Line]:
    """The spoken lines of all dialogues, in the order of their names. DataError where the file is not such a container."""
    data = path.read_bytes()
    try:
        entries = read_entries(data)
        texts = read_texts(data, entries)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise DataError(f"{path}: not a queen.1c container ({error}).") from error
    if not texts:
        raise DataError(f"{path}: holds no dialogue.")
    for name in sorted(texts):
        speaker, text = texts[name]
        entry = entries[f"{name}.SB"]
        yield Line(name=name, speaker=speaker, text=text, audio=data[entry.offset : entry.offset + entry.size])


def read_entries(data: bytes) -> dict[str, Entry]:
    """File name in capitals -> where it lies. struct.error where the bytes are not such a container."""
    if data[:4] != b"QTBL" or data[12] != MP3:
        raise struct.error("the header must be QTBL with MP3 compression")
    (num_entries,) = struct.unpack_from(">H", data, 13)
    entries = {}
    for index in range(num_entries):
        name, _, offset, size = struct.unpack_from(">12sBII", data, 15 + 21 * index)
        if offset + size > len(data):
            raise struct.error(f"entry {index} ends behind the file")
        entries[name.split(b"\0")[0].decode("ascii").upper()] = Entry(offset, size)
    return entries


def read_texts(data: bytes, entries: dict[str, Entry]) -> dict[str, tuple[str, str]]:
    """Recording name -> (speaker, text). A name that two dialogues claim with different texts is left out."""
    texts: dict[str, tuple[str, str]] = {}
    contested = set()
    for dialogue, entry in sorted(entries.items()):
        if not dialogue.endswith(".DOG"):
            continue
        person = person_of(dialogue)
        for name, is_joe, text in _dialogue_lines(data[entry.offset : entry.offset + entry.size]):
            if f"{name}.SB" not in entries:
                continue
            if texts.setdefault(name, ("joe" if is_joe else person, text))[1] != text:
                contested.add(name)
    return {name: line for name, line in texts.items() if name not in contested}


def person_of(dialogue: str) -> str:
    """Whom Joe talks to in the dialogue `AND1.DOG`: `and`."""
    return dialogue.removesuffix(".DOG").rstrip("0123456789").lower()


def _dialogue_lines(dialogue: bytes) -> Iterator[tuple[str, bool, str]]:
    header = struct.unpack_from(">13h", dialogue, PADDING)
    num_levels, talk_key, num_joe, num_person = abs(header[0]), header[2], header[3], header[4]
    joe_start = PADDING + LEVELS_OFFSET + BYTES_PER_LEVEL * num_levels
    person_start = PADDING + header[11]
    blocks = (("J", joe_start, num_joe, person_start), ("P", person_start, num_person, PADDING + header[12]))
    for letter, start, count, end in blocks:
        for sentence_id, sentence in _sentences(dialogue, start, count, end):
            for index, text in spoken_pieces(sentence):
                yield f"{talk_key:02d}{sentence_id:04X}{letter}{index:X}", letter == "J", text


def spoken_pieces(sentence: str) -> Iterator[tuple[int, str]]:
    """What is said between commands, with its number from 1, which the recording's name ends with."""
    for index, line in enumerate(COMMAND.split(sentence), start=1):
        if text := " ".join(line.replace("^_", "").split()):
            yield index, text


def _sentences(dialogue: bytes, start: int, count: int, end: int) -> Iterator[tuple[int, str]]:
    position = start
    seen = set()
    for _ in range(count + 1):  # one more than counted: the first is the speaker's greeting or face
        if position + 5 > min(end, len(dialogue)):
            return
        sentence_id, length = struct.unpack_from(">IB", dialogue, position)
        text = dialogue[position + 5 : position + 5 + length].decode("cp437")
        position = (position + 5 + length + 3) // 4 * 4
        if sentence_id not in seen and sentence_id <= 0xFFFF:
            seen.add(sentence_id)
            yield sentence_id, text
