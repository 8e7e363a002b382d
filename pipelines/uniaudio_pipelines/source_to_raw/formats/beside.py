"""What a reader of files beside sounds is given, and what its times count."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label, Problem

_FAR_BEHIND = 10
"""Times as long as the sound, from which on an end in whole numbers counts milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """One file beside a sound."""

    folder: Folder
    names: AudioNames
    path: str
    """Path of the sound; empty where the file names its sounds itself."""
    file: str
    text: str
    """Contents of the file."""

    @property
    def has_sample_times(self) -> bool:
        """Whether TIMIT's alignments lie beside it."""
        stem = self.file.rpartition(".")[0]
        return any(f"{stem}{end}" in self.folder for end in (".PHN", ".phn", ".WRD", ".wrd"))

    @property
    def sound(self) -> Any:
        """The sound's `AudioInfo`; None where it cannot be read."""
        from uniaudio.audio.read import probe

        try:
            return probe(self.folder.absolute(self.path))
        except (DataError, OSError):
            return None


Read = Callable[[Beside], Iterator[Label | Problem]]


def in_seconds(one: Beside, labels: Sequence[Label]) -> Iterator[Label]:
    """The labels, whose times are milliseconds where all of them are whole numbers and lie far behind the sound's end: the tables of
    Whisper, the JSON of AssemblyAI."""
    times = [time for made in labels for time in (made.start_s, made.end_s) if time]
    times += [time for made in labels for word in made.given_words for time in (word.start_s, word.duration_s)]
    counts_ms = bool(times) and all(time == int(time) for time in times) and _is_far_behind(one, max(times))
    for made in labels:
        yield _from_milliseconds(made) if counts_ms else made


def _is_far_behind(one: Beside, last: float) -> bool:
    sound = one.sound if last > _FAR_BEHIND else None
    return (
        sound is not None
        and sound.num_samples is not None
        and last > _FAR_BEHIND * sound.num_samples / sound.sample_rate
    )


def _from_milliseconds(made: Label) -> Label:
    words = tuple(
        replace(word, start_s=word.start_s / 1000, duration_s=word.duration_s / 1000) for word in made.given_words
    )
    return replace(
        made, start_s=made.start_s / 1000, end_s=None if made.end_s is None else made.end_s / 1000, given_words=words
    )
