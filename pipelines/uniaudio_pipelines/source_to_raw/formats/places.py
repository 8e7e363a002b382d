"""Where the audio lies that a manifest names, and which split a file's name says it is of.

Places(folder, "data/train/wav.scp").find("/export/corpora/queen/audio/rec1.wav")  ->  "audio/rec1.wav"
split_of(folder, "data/train-00000-of-00003.parquet")                              ->  "train"
"""

import posixpath
import re
from pathlib import PurePosixPath
from urllib.parse import unquote

from uniaudio_pipelines.source_to_raw.formats.format import Folder

_SHORT = frozenset({"tr", "cv", "tt"})
"""Names of splits only where they stand alone: `cv-corpus-17` is Common Voice, and not validation."""
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://[^/]*(/[^?#]*)", re.IGNORECASE)
"""A place elsewhere, whose path may be that of a download."""
_UPLOAD = re.compile(r"/data/upload/(?:\d+/)?([0-9a-f]{8}-)?(.+)")
_LOCAL = re.compile(r"/data/local-files/\?d=(.+)")
"""What Label Studio calls files that were sent to it, and files that lie on its disk."""


class Places:
    """Finds the files that one label file names."""

    def __init__(self, folder: Folder, file: str) -> None:
        """`file`: the label file, below the corpus folder."""
        self._folder, self._file = folder, file
        self._moved_from: str | None = None

    def find(self, name: str) -> str | None:
        """The file below the corpus folder that `name` means; None where there is none. Relative to the label file's folder or to one
        above it, as toolkits write the folder that they ran in; also where the corpus has been moved as a whole since, or downloaded."""
        for spelling in spellings(name):
            folder = self._file
            while folder:
                if located := self._folder.locate(folder, spelling):
                    return located
                folder = posixpath.dirname(folder)
            if located := self._moved(PurePosixPath(posixpath.normpath(spelling.replace("\\", "/")))):
                return located
        return None

    def _moved(self, path: PurePosixPath) -> str | None:
        """Paths of another place: one beginning is cut off, the same from all of them, so that two files never become one."""
        if self._moved_from is not None:
            is_of_it = path.is_relative_to(self._moved_from)
            return self._folder.find(path.relative_to(self._moved_from).as_posix()) if is_of_it else None
        for num_cut in range(1, len(path.parts)):
            beginning, rest = PurePosixPath(*path.parts[:num_cut]), PurePosixPath(*path.parts[num_cut:])
            # A name alone is no evidence; a folder and a name are, or the corpus folder's own name.
            if len(rest.parts) == 1 and beginning.name != self._folder.root.name:
                continue
            if ".." not in beginning.parts and (located := self._folder.find(rest.as_posix())):
                self._moved_from = beginning.as_posix()
                return located
        return None


def spellings(name: str) -> tuple[str, ...]:
    """What a name may mean: the path of a URL, of which nothing is ever fetched, or a file that Label Studio was given."""
    if match := _URL.match(name):
        name = unquote(match[1])
    if match := _LOCAL.fullmatch(name):
        return (unquote(match[1]),)
    if match := _UPLOAD.fullmatch(name):
        return tuple(dict.fromkeys((f"{match[1] or ''}{match[2]}", match[2])))
    return (name,)


def split_of(folder: Folder, path: str) -> str | None:
    """The split that the name of a file, or of the nearest folder above it, says: `train`, `val`, `test` or None."""
    for part in reversed(PurePosixPath(path).parts):
        # `librispeech_recordings_dev-clean.jsonl.gz` says it in the middle, `train.tar.gz` before its suffixes, `covost.en_de.train.tsv`
        # between its dots.
        stem, *rest = part.split(".")
        if split := folder.split(stem) or folder.split(part):
            return split
        if len(between := {folder.split(one) for one in rest if one.lower() not in _SHORT} - {None}) == 1:
            return between.pop()
        said = {folder.split(word) for word in _WORDS.findall(stem) if word.lower() not in _SHORT} - {None}
        if len(said) == 1:
            return said.pop()
    return None
