"""One unit of source files to rows of `raw` and one WebDataset tar of FLAC.

The tar holds `<clip_id>.flac` and `<clip_id>.json` of each clip, in clip order, without times or owners: the same
files always give the same bytes.
"""

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.forgotten import PARAMETER, REASON, digest
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.raw import Raw
from uniaudio_schemas.store import Dropped, Store

from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.source_to_raw import listing
from uniaudio_pipelines.source_to_raw.documents import read_document
from uniaudio_pipelines.source_to_raw.job import SourceToRaw

_MAX_FLAC_CHANNELS = 8
_TAR_HEADER = 512
"""Bytes before each member's data in a USTAR archive; member names here are short, so there is never more than one
header."""


class _DropError(Exception):
    """This file makes no row, for `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class RawWorker:
    def __init__(self, store_root: str, job: SourceToRaw, plan: Plan) -> None:
        from uniaudio.audio.read import audio_suffixes

        self._source, self._min_s = job.absolute(), job.min_s
        self._cache = cache_folder(Store(store_root))
        entries = listing.load_listing(plan.parameters["listing"], job.source, self._cache, audio_suffixes())
        self._units = job.units(entries)
        self._forgotten = job.forgotten(Store(store_root), entries)
        if plan.parameters.get(PARAMETER, digest([])) != digest(self._forgotten):
            raise UsageError("Some of the source was forgotten since this job was planned: run the flow again.")
        self._folder = tempfile.TemporaryDirectory(prefix="raw-")

    def process(self, unit: str) -> ShardResult:
        # Outlives this call: the tar is put after it, and replaced by the next unit's.
        tar_path = Path(self._folder.name) / "shard.tar"
        rows, dropped = [], []
        with tar_path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for entry in sorted(self._units[unit], key=lambda entry: entry.sha256):
                if not entry.problem and entry.sha256[:32] in self._forgotten:
                    dropped.append(Dropped(row_id=entry.sha256[:32], reason=REASON, unit=unit))
                    continue
                try:
                    rows.append(self._row(entry, tar))
                except _DropError as error:
                    dropped.append(Dropped(row_id=entry.path, reason=error.reason, detail=str(error), unit=unit))
        has_audio = any(row.medium == "audio" for row in rows)
        tar_name = hash_file(tar_path) if has_audio else ""
        return ShardResult(
            rows=[_in_tar(row, tar_name) if row.medium == "audio" else row for row in rows],
            dropped=dropped,
            statistics={
                "audio_s": sum(row.num_samples / row.sample_rate for row in rows if row.medium == "audio"),
                "num_documents": float(sum(row.medium == "text" for row in rows)),
                "source_bytes": float(sum(entry.size for entry in self._units[unit])),
            },
            blobs=(tar_path,) if has_audio else (),
        )

    def _row(self, entry: listing.Entry, tar: tarfile.TarFile) -> Raw:
        if entry.problem:
            raise _DropError(entry.problem, entry.detail)
        path = self._source / entry.path
        if not path.is_file() or hash_file(path) != entry.sha256:
            listing.forget_hashes(str(self._source), self._cache)
            raise DataError(f"{path}: changed while the source was read; run the job again.")
        if path.suffix.lower() in listing.TEXT_SUFFIXES:
            return Raw(**self._common(entry), medium="text", domain="text", text=self._document(path))
        domain = entry.metadata.get("domain", "unknown")
        return Raw(**self._common(entry), medium="audio", domain=domain, **self._audio(entry, path, tar))

    def _common(self, entry: listing.Entry) -> dict[str, Any]:
        said = {name: value for name, value in entry.metadata.items() if name not in ("domain", "licence")}
        return {
            "clip_id": entry.sha256[:32],
            "sha256": entry.sha256,
            "corpus": entry.corpus,
            "path": entry.path,
            "licence": entry.metadata.get("licence", "unknown"),
            **said,
        }

    def _document(self, path: Path) -> str:
        try:
            text = read_document(path.read_bytes(), path.suffix)
        except UnicodeDecodeError as error:
            raise _DropError("not_utf8", f"byte {error.start}: {error.reason}") from error
        if "\0" in text:
            raise _DropError("unreadable", "holds NUL characters, so it is not text")
        if not text:
            raise _DropError("empty", "no text")
        return text

    def _audio(self, entry: listing.Entry, path: Path, tar: tarfile.TarFile) -> dict[str, Any]:
        with tempfile.TemporaryFile(dir=self._folder.name) as flac:
            try:
                sample_rate, num_samples, channels = _encode_flac(path, flac)
            except DataError as error:
                raise _DropError("unreadable", str(error).replace(f"{path}: ", "")) from error
            if num_samples < self._min_s * sample_rate:
                reason = "too_short" if num_samples else "empty"
                raise _DropError(reason, f"{num_samples / sample_rate:.3f} s, at least {self._min_s} s")
            key = entry.sha256[:32]
            size = flac.seek(0, io.SEEK_END)
            flac.seek(0)
            offset = _add(tar, f"{key}.flac", flac, size)
            described = {"path": entry.path, "sample_rate": sample_rate, "num_samples": num_samples, **entry.metadata}
            text = json.dumps(described, sort_keys=True, ensure_ascii=False).encode()
            _add(tar, f"{key}.json", io.BytesIO(text), len(text))
        return {
            "sample_rate": sample_rate,
            "num_samples": num_samples,
            "channels": channels,
            "tar_offset": offset,
            "tar_size": size,
        }


def _in_tar(row: Raw, tar: str) -> Raw:
    from dataclasses import replace

    return replace(row, tar=tar)


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int) -> int:
    """Append a member; returns the offset of its first byte."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    offset = int(tar.offset) + _TAR_HEADER
    tar.addfile(info, file)
    return offset


def _encode_flac(path: Path, out: IO[bytes]) -> tuple[int, int, int]:
    """Decode `path` block by block into 16-bit FLAC; returns sample rate, samples a channel, channels."""
    import soundfile

    from uniaudio.audio.read import probe, read_blocks

    info = probe(path)
    if info.channels > _MAX_FLAC_CHANNELS:
        raise _DropError("unsupported", f"{info.channels} channels, at most {_MAX_FLAC_CHANNELS}")
    num_samples = 0
    try:
        with soundfile.SoundFile(out, "w", info.sample_rate, info.channels, "PCM_16", format="FLAC") as flac:
            for block_CN in read_blocks(path):
                flac.write(_pcm16(block_CN).T)
                num_samples += block_CN.shape[1]
    except soundfile.LibsndfileError as error:
        raise _DropError("unsupported", f"{info.sample_rate} Hz cannot be stored as FLAC: {error}") from error
    return info.sample_rate, num_samples, info.channels


def _pcm16(samples_CN: np.ndarray) -> np.ndarray:
    """Scaled by 2^15, as reading divides by it: 16-bit sources come back bit for bit."""
    return np.clip(np.rint(samples_CN * np.float32(32768)), -32768, 32767).astype(np.int16)
