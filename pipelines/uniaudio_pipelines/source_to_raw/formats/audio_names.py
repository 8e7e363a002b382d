"""Find the audio that a label means by its name alone: `LJ001-0001` is `wavs/LJ001-0001.wav`, where no other file is called so."""

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
        """The one file of this name, or of this name and a suffix."""
        return self._by_name.get(composed(name.rpartition("/")[2]))

    def beside(self, folder: str, stem: str) -> str | None:
        """The audio file called `stem` in `folder`."""
        sound_path = self.find(stem)
        if sound_path and sound_path.rpartition("/")[0] == folder:
            return sound_path
        for suffix in sorted(_suffixes()):
            if path := self._folder.find(f"{folder}/{stem}{suffix}" if folder else f"{stem}{suffix}"):
                return path
        return None
