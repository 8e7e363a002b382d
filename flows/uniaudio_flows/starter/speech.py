"""Speech of the starter: two games with their scripts, and the prompts of a telephone system.

Reads    queen.1c; `script/<level>/*dialogs_cs.lua` and `sound/<level>/cs/<name>.ogg`; `<folder>/<name>.g722`
Yields   Item(path="city/cs/vit-hs-klid1.ogg", audio=Path(…), metadata={"speaker": "statue", "given_text": "Občané. …", …})
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uniaudio_flows.demo.layout import Item
from uniaudio_flows.starter.queen import Recording, read_recordings
from uniaudio_flows.starter.splits import shares
from uniaudio_flows.starter.words import words_of_prompt

ACTORS = (
    ("joe", "sparky", "lou", "man", "Joe King", "Sparky", "Skip", "bedraggled prisoner"),
    ("prin", "faye", "lola", "sec", "showeram", "Princess Azura", "Faye", "Lola", "secretary", "showering Amazon", "azura obj"),
    ("and", "henry", "Anderson", "Henry"),
    ("bud", "frank", "Bud", "Frank"),
    ("chef", "laris"),
    ("john", "John"),
    ("tam", "witch", "Mary-Lou", "witch doctor"),
    ("dog", "guard dog"),
    ("zombie", "zombie woman"),
    ("wedge", "Wedgewood"),
    ("chief", "ian", "Ian"),
    ("death", "ferryman"),
    ("jim", "Jimmy"),
    ("klunk", "Klunk"),
    ("naomi", "Naomi"),
    ("bob", "Trader Bob"),
    ("ape",),
    ("oracle", "guardian"),
)  # fmt: skip
"""Characters of the queen that one actor speaks, found by ear of a speaker encoder (cosine 0.94 and more), as dialogues call them and as
cutscenes do. The first names the voice."""
OTHERS = ("Rita", "Rico", "Hugh", "Eddy", "bellboy", "guard", "tired prisoner")
"""Characters of cutscenes alone; other objects of cutscenes are things that somebody speaks from behind."""
HELD_OUT = {
    **dict.fromkeys(("naomi", "klunk", "death", "john"), "test"),
    **dict.fromkeys(("ape", "zombie", "oracle", "wedge", "dog"), "val"),
}
"""Voices; all others that are known are trained on."""
_VOICES = {character: actor[0] for actor in ACTORS for character in actor}
_QUEEN = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
_FILLETS = "usr/share/games/fillets-ng"
_PROMPTS = "usr/share/asterisk/sounds/en_US_f_Allison"
_LINE = re.compile(
    r'dialogId\("(?P<name>[^"]+)",\s*"font_(?P<font>[^"]+)",\s*"(?P<english>(?:[^"\\]|\\.)*)"\)'
    r'\s*dialogStr\("(?P<text>(?:[^"\\]|\\.)*)"\)'
)
_NO_PROMPT = ("silence", "beep", "beeperr", "ascending-2tone", "descending-2tone", "tt-monkeys")


def queen_items(tree: Path) -> Iterator[Item]:
    """Clips of the game. An unknown speaker has no split: the road puts such a clip where its voice is."""
    for recording in read_recordings(tree / _QUEEN):
        yield Item(path=f"{recording.name}.mp3", audio=recording.audio, metadata=_of_recording(recording))


def _of_recording(recording: Recording) -> dict[str, object]:
    if recording.kind == "effect":
        return {"domain": "sound", "facts": {"kind": "effect"}}
    metadata: dict[str, object] = {"domain": "speech"}
    facts = {"kind": recording.kind}
    if recording.text and recording.kind == "gibberish":
        facts["script"] = recording.text
    elif recording.text:
        metadata |= {"given_text": recording.text, "language": "en"}
    character = recording.speaker or ""
    if character in _VOICES or character in OTHERS or recording.kind in ("dialogue", "gibberish"):
        voice = _VOICES.get(character)
        facts["character"] = character.lower()
        metadata["speaker"] = voice or character.lower()
        if voice:
            metadata["split"] = HELD_OUT.get(voice, "train")
    return {**metadata, "facts": facts}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    speaker: str
    text: str
    english: str


def fillets_items(voices: Path, scripts: Path) -> Iterator[Item]:
    """The lines that have a script; a level of the game is in one split."""
    sounds = voices / _FILLETS / "sound"
    recordings: list[tuple[Path, str, _Line]] = []
    by_level: dict[str, dict[str, _Line]] = {}
    for path in sorted(sounds.rglob("cs/*.ogg")):
        level = path.relative_to(sounds).parts[0]
        lines = by_level.setdefault(level, _read_lines(scripts / _FILLETS / "script" / level))
        if path.stem in lines:
            recordings.append((path, level, lines[path.stem]))
    splits = shares("fillets", [level for _, level, _ in recordings])
    for path, level, line in recordings:
        metadata = {
            "domain": "speech",
            "language": "cs",
            "speaker": line.speaker,
            "given_text": line.text,
            "split": splits[level],
            "facts": {"level": level, "english": line.english},
        }
        yield Item(path=path.relative_to(sounds).as_posix(), audio=path, metadata=metadata)


def _read_lines(folder: Path) -> dict[str, _Line]:
    """Name -> what is said, of all Czech dialogues in the folder of a level."""
    line_by_name = {}
    for file in sorted(folder.glob("*dialogs_cs.lua")):
        for line in _LINE.finditer(file.read_text(encoding="utf-8")):
            line_by_name[line["name"]] = _Line(
                speaker=line["font"], text=_plain(line["text"]), english=_plain(line["english"])
            )
    return line_by_name


def _plain(lua: str) -> str:
    """Text without escapes, and without the places for a number that the game fills in."""
    return " ".join(re.sub(r"\s*%\d", "", re.sub(r"\\(.)", r"\1", lua)).split())


def asterisk_items(tree: Path) -> Iterator[Item]:
    """Prompts, of which digits, letters and the like say in their names what they say; one voice, so that splits go by the prompt."""
    folder = tree / _PROMPTS
    paths = [
        path
        for path in sorted(folder.rglob("*.g722"))
        if path.stem not in _NO_PROMPT and path.parent.name not in _NO_PROMPT
    ]
    words = {path: words_of_prompt(path.relative_to(folder).with_suffix("").as_posix()) for path in paths}
    groups = {path: words[path] or path.stem for path in paths}
    splits = shares("asterisk", list(groups.values()))
    for path in paths:
        metadata: dict[str, object] = {
            "domain": "speech",
            "language": "en",
            "speaker": "allison",
            "split": splits[groups[path]],
        }
        if text := words[path]:
            metadata["given_text"] = text
        yield Item(path=path.relative_to(folder).as_posix(), audio=path, metadata=metadata)
