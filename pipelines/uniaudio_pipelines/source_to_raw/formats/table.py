"""The formats, in the order in which they are asked: those that are known by more before those that take what is left."""

import csv
import zlib

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.common_voice import CommonVoice
from uniaudio_pipelines.source_to_raw.formats.documents import Documents
from uniaudio_pipelines.source_to_raw.formats.festvox import Festvox
from uniaudio_pipelines.source_to_raw.formats.format import Container, Format
from uniaudio_pipelines.source_to_raw.formats.hugging_face import HuggingFace
from uniaudio_pipelines.source_to_raw.formats.kaldi import Kaldi
from uniaudio_pipelines.source_to_raw.formats.lhotse import Lhotse
from uniaudio_pipelines.source_to_raw.formats.librispeech import LibriSpeech
from uniaudio_pipelines.source_to_raw.formats.ljspeech import LJSpeech
from uniaudio_pipelines.source_to_raw.formats.manifests import Manifests
from uniaudio_pipelines.source_to_raw.formats.master_labels import MasterLabels
from uniaudio_pipelines.source_to_raw.formats.ours import Ours
from uniaudio_pipelines.source_to_raw.formats.sidecars import Sidecars
from uniaudio_pipelines.source_to_raw.formats.stems import Stems
from uniaudio_pipelines.source_to_raw.formats.vctk import Vctk
from uniaudio_pipelines.source_to_raw.formats.webdataset_tars import WebDatasetTars

_KALDI, _LHOTSE, _HUGGING_FACE, _WEBDATASET = Kaldi(), Lhotse(), HuggingFace(), WebDatasetTars()
_DOCUMENTS = Documents()
FORMATS: tuple[Format, ...] = (
    Ours(),
    LibriSpeech(),
    LJSpeech(),
    Vctk(),
    Festvox(),
    MasterLabels(),
    CommonVoice(),
    _KALDI,
    _LHOTSE,
    _HUGGING_FACE,
    _WEBDATASET,
    Manifests(),
    _DOCUMENTS,
    Sidecars(),
    Stems(),
)
CONTAINERS: dict[str, Container] = {one.name: one for one in (_KALDI, _LHOTSE, _HUGGING_FACE, _WEBDATASET, _DOCUMENTS)}
"""Formats whose audio or texts lie inside files, by name."""
LOOSE_FORMATS = frozenset({Ours.name, Sidecars.name, Stems.name})
"""Formats whose labels beside loose files in the source folder do not make the whole source one corpus."""
UNNAMED = frozenset({Ours.name, Sidecars.name, Stems.name, Manifests.name, _DOCUMENTS.name})
"""Formats that are no corpus's name."""
BROKEN = (DataError, OSError, ValueError, RecursionError, csv.Error, zlib.error, EOFError, MemoryError)
"""What reading a hostile file may raise in a library: a problem of that file."""
