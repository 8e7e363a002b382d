"""Find the audio that a label means by its name alone: `LJ001-0001` is `wavs/LJ001-0001.wav`, where no other file is called so."""

import posixpath
import re
from functools import cached_property

from uniaudio_pipelines.source_to_raw.formats.format import Folder, composed


def is_audio(path: str) -> bool:
    """Whether a path names audio, by its suffix."""
    return suffix_of(path) in _suffixes()


def suffix_of(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def stem_of(path: str) -> str:
    """File name without its folder and its last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _suffixes() -> frozenset[str]:
    global _known
    if not _known:
        from uniaudio.audio.read import audio_suffixes

        _known = audio_suffixes()
    return _known


_known: frozenset[str] = frozenset()
_VIDEO = re.compile(r"Y?([\w-]{11})(?:_\d[\d._]*)?")
"""A video's name, and the times of the part: `Y` stands in front lest names begin with a dash (AudioCaps), `_000030` is a second (VGGSound)."""
_MOST_SIBLINGS = 20
"""Folders side by side that may be `wav` and `txt`; more of them are speakers or days."""


def audio_names(folder: Folder) -> "AudioNames":
    """Made once a folder."""
    return folder.derived(AudioNames)


class AudioNames:
    """The audio files of a folder by their names, with and without suffix."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @cached_property
    def _by_name(self) -> dict[str, str | None]:
        """Name -> path; None where several files have the name."""
        path_by_name: dict[str, str | None] = {}
        for path in self._folder.paths:
            if is_audio(path):
                name = composed(path.rpartition("/")[2])
                for key in {name, stem_of(name)}:
                    path_by_name[key] = None if key in path_by_name else path
        return path_by_name

    @property
    def is_empty(self) -> bool:
        return not self._by_name

    def find(self, name: str) -> str | None:
        """The one file of this name, of this name and a suffix, or of this name with another suffix, as converted corpora have it."""
        name = composed(name.rpartition("/")[2])
        if name in self._by_name or not is_audio(name):
            return self._by_name.get(name)
        return self._by_name.get(stem_of(name))

    def video(self, name: str) -> str | None:
        """The one file that was cut from the video `name` of YouTube, as collections of sounds call theirs."""
        return self._by_video.get(name)

    def all_of(self, name: str) -> tuple[str, ...]:
        """Every file of this name, with or without suffix, in whichever folder it lies."""
        return tuple(self._all_by_stem.get(composed(stem_of(name) if is_audio(name) else name.rpartition("/")[2]), ()))

    def beside(self, folder: str, stem: str) -> str | None:
        """The audio file called `stem` in `folder`, or the only one that is but for the case of its letters; the first by its suffix where
        there are several."""
        place = composed(posixpath.join(folder, stem))
        return self._by_place.get(place) or self._by_folded_place.get(place.casefold())

    def mirrored(self, folder: str, stem: str) -> tuple[str, ...]:
        """The audio files that lie where `folder/stem` would, but for the name of one folder: `wav/anna/001.wav` of `txt/anna/001`, and
        `array/anna/001.wav`, where two microphones heard it."""
        parts = folder.split("/") if folder else []
        paths = set()
        for at, part in enumerate(parts):
            above = "/".join(parts[:at])
            siblings = self._folders_by_parent.get(above, ())
            if len(siblings) <= _MOST_SIBLINGS:
                places = (posixpath.join(above, one, *parts[at + 1 :], stem) for one in siblings if one != part)
                paths |= {path for place in places if (path := self._by_place.get(composed(place)))}
        return tuple(sorted(paths))

    @cached_property
    def _by_place(self) -> dict[str, str]:
        """Path without its suffix -> path."""
        path_by_place: dict[str, str] = {}
        for path in self._folder.paths:
            if is_audio(path):
                place = composed(posixpath.join(posixpath.dirname(path), stem_of(path)))
                known = path_by_place.get(place)
                if known is None or suffix_of(path) < suffix_of(known):
                    path_by_place[place] = path
        return path_by_place

    @cached_property
    def _by_folded_place(self) -> dict[str, str | None]:
        path_by_place: dict[str, str | None] = {}
        for place, path in self._by_place.items():
            key = place.casefold()
            path_by_place[key] = None if key in path_by_place else path
        return path_by_place

    @cached_property
    def _by_video(self) -> dict[str, str | None]:
        path_by_video: dict[str, str | None] = {}
        for place, path in self._by_place.items():
            if match := _VIDEO.fullmatch(place.rpartition("/")[2]):
                path_by_video[match[1]] = None if match[1] in path_by_video else path
        return path_by_video

    @cached_property
    def _all_by_stem(self) -> dict[str, list[str]]:
        paths_by_stem: dict[str, list[str]] = {}
        for place, path in self._by_place.items():
            paths_by_stem.setdefault(place.rpartition("/")[2], []).append(path)
        return paths_by_stem

    @cached_property
    def _folders_by_parent(self) -> dict[str, set[str]]:
        """Folder -> names of the folders in it that hold audio."""
        names: dict[str, set[str]] = {}
        for folder in {posixpath.dirname(path) for path in self._by_place.values()}:
            while folder:
                folder, _, name = folder.rpartition("/")
                names.setdefault(folder, set()).add(name)
        return names
