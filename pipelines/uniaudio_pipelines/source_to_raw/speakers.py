"""Speakers that folders name: `p225/p225_001.wav`, `train/spk_7/a.wav`, `id10270/5r0dWxy17C8/00001.wav`.

Reads    the names of a corpus's audio files
Gives    {"p225": "p225", "train/spk_7": "spk_7", "id10270/5r0dWxy17C8": "id10270"}: folder below the corpus -> speaker

The speaker is the outermost folder that is neither a split nor one in which corpora keep their audio (`wav`, `clips`). Folders also hold classes
of sounds, albums and chapters: without a card they are speakers only where all of a corpus's audio lies in them and every name says so.
"""

import posixpath
import re
from collections.abc import Iterable

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio
from uniaudio_pipelines.source_to_raw.formats.format import Folder
from uniaudio_pipelines.source_to_raw.formats.places import split_of

_KEEPS_AUDIO = re.compile(
    r"(wavs?|audios?|clips?|flac|mp3|data|speech|sounds?|recordings|speakers|wav\d+.*|16k|\d+k(hz)?)", re.IGNORECASE
)
_SAYS_SO = re.compile(
    r"(spk|spkr|speaker|talker|reader|voice|actor|actress)[-_ ]?(\d\w*|[a-z])|id\d{4,}", re.IGNORECASE
)
"""Names of speakers and of nothing else, which `voice_packs` is not; VoxCeleb's begin with `id`."""
_CODE = re.compile(r"([A-Za-z]{0,3})[-_]?\d{1,6}")
"""`p225`, `F01`, `84`: speakers where the names of the clips repeat them."""
_SEXES = frozenset({"F", "M"})
_SURE_LENGTH = 5
"""Characters of a code that is no accident where it stands inside the names of clips: `S0002` of `BAC009S0002W0122`."""
_TIMIT = re.compile(r"(?:.*/)?dr\d/([fm][a-z]{3}\d)", re.IGNORECASE)
"""Dialect region, and the speaker's sex, initials and number."""


def speakers_of(folder: Folder) -> dict[str, str]:
    """Folder of audio, below the corpus -> its speaker; empty where folders do not say who speaks."""
    if folder.card.speakers == "none":
        return {}
    audio = [path for path in folder.paths if is_audio(path)]
    parents = {posixpath.dirname(path) for path in audio}
    of_timit = {parent: match[1] for parent in parents if (match := _TIMIT.fullmatch(parent))}
    if of_timit and len(of_timit) == len(parents):
        return of_timit
    named = {parent: _speaker(folder, parent) for parent in parents}
    if folder.card.speakers != "folders" and not _all_say_so(named, audio):
        return {}
    return {parent: speaker for parent, speaker in named.items() if speaker}


def _speaker(folder: Folder, parent: str) -> str:
    """Empty where no folder is left."""
    for part in parent.split("/"):
        if part and not split_of(folder, part) and not _KEEPS_AUDIO.fullmatch(part):
            return part
    return ""


def _all_say_so(named: dict[str, str], audio: Iterable[str]) -> bool:
    names = set(named.values())
    if len(names) < 2 or "" in names:
        return False
    if all(_SAYS_SO.fullmatch(name) for name in names):
        return True
    codes = [_CODE.fullmatch(name) for name in names]
    letters = {code[1].upper() if code else "?" for code in codes}
    return (
        "?" not in letters
        and (len(letters) == 1 or letters <= _SEXES)
        and all(_repeats(path, named[posixpath.dirname(path)]) for path in audio)
    )


def _repeats(path: str, speaker: str) -> bool:
    """Whether the name of a clip begins with its speaker's, and does not go on in it; a long one may stand inside."""
    name = posixpath.basename(path)
    if len(speaker) < _SURE_LENGTH:
        return name.startswith(speaker) and not name[len(speaker) : len(speaker) + 1].isalnum()
    before, inside, behind = name.partition(speaker)
    return bool(inside) and not before[-1:].isalpha() and not behind[:1].isdecimal()
