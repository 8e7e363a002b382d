"""All recordings of the game Flight of the Amazon Queen, with what its scripts say of them.

Reads    queen.1c as `uniaudio_flows.demo.queen` does, and of it besides dialogues
         QUEEN.JAS   20 bytes, numbers of rooms, names, objects and descriptions (u16be), then objects of 8 i16be whose first is their name
         QUEEN2.JAS  lines: descriptions, names, rooms, 12 verbs, 40 lines that Joe says of anything
         *.CUT       cutscenes: at 20 the number of acts (third and fourth byte, negative: no panel) and where the sentences are (ninth,
                     tenth); at 32 the acts: who acts (i16be) and 16 more, the sixth telling whether it is animated, then the people
                     shown, counted, then, if animated, frames of 10 up to a -2. Sentences: length u8, text, padded to 2, one more than acts
Yields   Recording(name="C100C051", speaker="Ian", text="Nothing happened!", kind="cutscene", audio=b"<mp3>")

A recording of a cutscene is named `<its name, padded by _ to 5><act, 2 decimal><piece, hex>`, one of a remark `JOE<number, 4 decimal><piece>`,
a greeting `<talk key, 2 decimal>SSSSJ<piece>` the first time, `…XXXXJ<piece>` and `…XXXXP<piece>` later on: the first sentence of Joe, the
first of the other person's block, and what stands behind the name of a cutscene at the dialogue's thirteenth word. An effect ends with
`SSS`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from uniaudio_schemas.errors import DataError

from uniaudio_flows.demo.queen import (
    BYTES_PER_LEVEL,
    LEVELS_OFFSET,
    PADDING,
    person_of,
    read_entries,
    read_texts,
    spoken_pieces,
)

JOE = 0
_FIRST_OBJECT, _OBJECT_BYTES = 28, 16
_FIRST_ACT, _ACT_WORDS, _EXECUTE, _FRAME_WORDS, _NO_MORE_FRAMES = 32, 17, 5, 10, -2
_INVENTED = ("APE.DOG", "CHIEF4.DOG")
"""Dialogues in which only Joe says words."""
_NUM_VERBS, _NUM_ANSWERS = 12, 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    name: str
    speaker: str | None
    """`joe`, a dialogue's name without its number, or the name of an object; None: the game does not say it."""
    text: str | None
    kind: str
    """`dialogue`, `gibberish`, `cutscene`, `remark`, `effect` or `unused`."""
    audio: bytes
    """MP3."""


@dataclass(frozen=True, slots=True)
class _Said:
    kind: str
    speaker: str | None
    text: str


def read_recordings(path: Path) -> Iterator[Recording]:
    """All of them in the order of their names. DataError where the file is not such a container."""
    data = path.read_bytes()
    try:
        entries = read_entries(data)
        files = {name: data[one.offset : one.offset + one.size] for name, one in entries.items() if name[-3:] != ".SB"}
        texts = _remarks(files["QUEEN.JAS"], files["QUEEN2.JAS"])
        texts |= _cutscenes(files, _object_names(files["QUEEN.JAS"], files["QUEEN2.JAS"]))
        texts |= _greetings(files)
        texts |= {name: _Said("dialogue", *line) for name, line in read_texts(data, entries).items()}
        invented = tuple(f"{_talk_key(files[name]):02d}" for name in _INVENTED if name in files)
    except (struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
        raise DataError(f"{path}: not a queen.1c container ({error}).") from error
    for name, entry in sorted(entries.items()):
        if name.endswith(".SB"):
            stem = name.removesuffix(".SB")
            recording_text = texts.get(stem)
            if (
                recording_text
                and recording_text.kind == "dialogue"
                and recording_text.speaker != "joe"
                and stem.startswith(invented)
            ):
                recording_text = replace(recording_text, kind="gibberish")
            yield Recording(
                name=stem,
                speaker=recording_text.speaker if recording_text else None,
                text=recording_text.text if recording_text else None,
                kind=recording_text.kind if recording_text else "effect" if stem.endswith("SSS") else "unused",
                audio=data[entry.offset : entry.offset + entry.size],
            )


def _talk_key(dialogue: bytes) -> int:
    return int(struct.unpack_from(">3h", dialogue, PADDING)[2])


def _greetings(files: dict[str, bytes]) -> dict[str, _Said]:
    greetings: dict[str, _Said] = {}
    for file, dialogue in sorted(files.items()):
        if not file.endswith(".DOG"):
            continue
        header = struct.unpack_from(">13h", dialogue, PADDING)
        joe = PADDING + LEVELS_OFFSET + BYTES_PER_LEVEL * abs(header[0])
        again = PADDING + header[12] + 4
        again = (again + 1 + dialogue[again] + 3) // 4 * 4
        texts = (("SSSSJ", joe + 4), ("XXXXJ", PADDING + header[11] + 4), ("XXXXP", again))
        for ending, position in texts:
            sentence = dialogue[position + 1 : position + 1 + dialogue[position]].decode("cp437")
            speaker = "joe" if ending.endswith("J") else person_of(file)
            for index, text in spoken_pieces(sentence):
                greetings.setdefault(f"{_talk_key(dialogue):02d}{ending}{index:X}", _Said("dialogue", speaker, text))
    return greetings


def _lines(strings: bytes) -> list[str]:
    return strings.decode("cp437").split("\r\n")


def _counts(objects: bytes) -> tuple[int, int, int, int]:
    """Numbers of rooms, names, objects and descriptions."""
    rooms, names, num_objects, descriptions = struct.unpack_from(">4H", objects, PADDING)
    return rooms, names, num_objects, descriptions


def _object_names(objects: bytes, strings: bytes) -> list[str]:
    """The name of each object, from number 0, which is nobody's."""
    _, _, num_objects, descriptions = _counts(objects)
    lines = _lines(strings)
    places = [
        struct.unpack_from(">h", objects, _FIRST_OBJECT + _OBJECT_BYTES * index)[0] for index in range(num_objects)
    ]
    return ["", *(lines[descriptions + abs(place) - 1] if place else "" for place in places)]


def _remarks(objects: bytes, strings: bytes) -> dict[str, _Said]:
    """What Joe says of things: 40 answers that fit anything, then the descriptions."""
    rooms, names, _, descriptions = _counts(objects)
    lines = _lines(strings)
    first = descriptions + names + rooms + _NUM_VERBS
    sentences = [*lines[first : first + _NUM_ANSWERS], *lines[:descriptions]]
    return {
        f"JOE{number:04d}{index:X}": _Said("remark", "joe", text)
        for number, sentence in enumerate(sentences, start=1)
        for index, text in spoken_pieces(sentence)
    }


def _cutscenes(files: dict[str, bytes], names: list[str]) -> dict[str, _Said]:
    lines = {}
    for file, scene in files.items():
        if not file.endswith(".CUT"):
            continue
        num_acts = abs(struct.unpack_from(">h", scene, PADDING + 2)[0])
        (first_sentence,) = struct.unpack_from(">H", scene, PADDING + 8)
        actors = ["", *(_actor(number, names) for number in _acting(scene, num_acts))]
        for act, sentence in enumerate(_sentences(scene, PADDING + first_sentence, num_acts + 1)):
            for index, text in spoken_pieces(sentence):
                name = f"{file.removesuffix('.CUT').ljust(5, '_')}{act:02d}{index:X}"
                lines[name] = _Said("cutscene", actors[act] or None, text)
    return lines


def _actor(number: int, names: list[str]) -> str:
    """Name of the actor with an object's number; empty for a number below 0."""
    return "joe" if number == JOE else names[number] if number > 0 else ""


def _acting(scene: bytes, num_acts: int) -> list[int]:
    """The object of each act."""
    num_words = (len(scene) - _FIRST_ACT) // 2
    words = struct.unpack_from(f">{num_words}h", scene, _FIRST_ACT)
    position, objects = 0, []
    for _ in range(num_acts):
        act = words[position : position + _ACT_WORDS]
        position += _ACT_WORDS
        position += 1 + words[position]
        if act[_EXECUTE]:
            while words[position] != _NO_MORE_FRAMES:
                position += _FRAME_WORDS
            position += 1
        objects.append(act[0])
    return objects


def _sentences(scene: bytes, position: int, count: int) -> Iterator[str]:
    for _ in range(count):
        length = scene[position]
        position += 1
        yield scene[position : position + length].decode("cp437")
        if length:
            position = (position + length + 1) // 2 * 2
