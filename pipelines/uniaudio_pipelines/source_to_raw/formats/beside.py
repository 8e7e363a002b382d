"""What a reader of files beside sounds is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label, Problem


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


Read = Callable[[Beside], Iterator[Label | Problem]]
