"""A source folder that a test fills, and what ingesting it gives."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.audio.read import read_audio

RATE = 8_000


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    """`[C, N]` int16 -> the bytes of a WAV."""
    data = np.ascontiguousarray(samples.T, "<i2").tobytes()
    channels = len(samples)
    header = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + header
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


def ramp(seconds: float, channels: int = 1, seed: int = 0) -> np.ndarray:
    """`[C, N]` int16 noise in which every sample can be told from its neighbours."""
    generator = np.random.default_rng(seed)
    return generator.integers(-9_000, 9_000, (channels, round(seconds * RATE)), np.int16)


@dataclass
class Ingested:
    store: Store
    manifest: Manifest
    rows: list[Raw]
    """By path and beginning."""
    dropped: list[dict[str, Any]]

    @property
    def row(self) -> Raw:
        (row,) = self.rows
        return row

    def reasons(self) -> dict[str, str]:
        return {row["row_id"]: row["reason"] for row in self.dropped}

    def samples(self, row: Raw) -> np.ndarray:
        """`[C, N]` int16, as stored."""
        tar = self.store.open_blob(row.tar).read_bytes()
        audio = read_audio(tar[row.tar_offset : row.tar_offset + row.tar_size], suffix=".flac")
        return np.rint(audio.samples * 32768).astype(np.int16)


@dataclass
class Source:
    root: Path
    store: Path
    made: dict[str, np.ndarray] = field(default_factory=dict)

    def wav(self, *paths: str, seconds: float = 0.5, channels: int = 1, seed: int | None = None) -> None:
        """Every file has samples of its own, unless `seed` says otherwise."""
        for path in paths:
            samples = ramp(seconds, channels, len(self.made) if seed is None else seed)
            self.made[path] = samples
            self.bytes(path, wav(samples))

    def bytes(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def text(self, path: str, *lines: str) -> None:
        self.bytes(path, "".join(f"{line}\n" for line in lines).encode())

    def job(self, **changes: Any) -> SourceToRaw:
        return SourceToRaw(**{"source": str(self.root), **changes})

    def ingest(self, **changes: Any) -> Ingested:
        store = Store(self.store)
        manifest = run_edge(store, self.job(**changes), RawWorker, num_workers=0)
        rows = sorted(store.rows(manifest, Raw), key=lambda row: (row.path, row.first_sample, row.source_channel or 0))
        return Ingested(store, manifest, rows, store.dropped(manifest).to_pylist())


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "source").mkdir()
    return Source(tmp_path / "source", tmp_path / "store")
