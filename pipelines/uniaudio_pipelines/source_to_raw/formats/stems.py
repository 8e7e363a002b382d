"""Folders of the stems of a song, as MUSDB and multitrack recordings have them: parts of one recording, which stay in one split.

Reads    names alone: train/Band - Song/{mixture,vocals,drums,bass,other}.wav
Row out  Label(path="train/Band - Song/vocals.wav", part_of="train/Band - Song", part="vocals", domain="music")
"""

import posixpath
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio, stem_of
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem

_WHOLE = frozenset({"mix", "mixture"})
_PARTS = frozenset({
    "vocals", "vocal", "drums", "bass", "other", "accompaniment", "instrumental", "guitar", "guitars", "piano", "keys", "strings", "synth",
    "percussion", "linear_mixture",
})  # fmt: skip
_LEAST_PARTS = 3


class Stems:
    """Every folder in which sounds are called like parts of a song and nothing else."""

    name: ClassVar[str] = "stems"

    def claim(self, folder: Folder) -> Claim | None:
        by_song: dict[str, list[str]] = {}
        for path in folder.paths:
            if is_audio(path):
                by_song.setdefault(posixpath.dirname(path), []).append(path)
        songs = {song: paths for song, paths in by_song.items() if song and _are_stems(paths)}
        if not songs:
            return None
        return Claim(
            format=self.name, label_files=(), summary=f"stems of {len(songs)} songs", details={"songs": sorted(songs.items())}
        )  # fmt: skip

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        for song, paths in claim.details["songs"]:
            for path in paths:
                part = stem_of(path).lower()
                yield Label(
                    path=path, part_of=song, part=None if part in _WHOLE else part, given_title=posixpath.basename(song),
                    domain="music", said_by=f"{song}/",
                )  # fmt: skip


def _are_stems(paths: list[str]) -> bool:
    names = {stem_of(path).lower() for path in paths}
    return names <= _WHOLE | _PARTS and (len(names & _PARTS) >= _LEAST_PARTS or bool(names & _WHOLE and names & _PARTS))
