"""What edges that score share: a metric's name, an estimate with its interval, and what one unit collects besides its rows."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.dropped import Dropped

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import write_flac_bytes
from uniaudio.metrics.bootstrap import bootstrap_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """How one number is named and compared."""

    name: str
    higher_is_better: bool
    baseline: str
    """What the trivial baseline does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value and, where the samples behind it are at hand and of more than one recording, its 95 % interval."""

    value: float
    num_samples: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        weights: Sequence[float] | None = None,
        *,
        recordings: Sequence[str],
        shape: Callable[[float], float] = float,
    ) -> "Estimate | None":
        """The mean, or `sum(values) / sum(weights)`, passed through the rising `shape`; None without samples or
        weight. `recordings`: of each sample; the interval is over them.
        """
        total = float(len(values)) if weights is None else float(np.sum(weights))
        if not total:
            return None
        interval = bootstrap_interval(values, weights, groups=recordings)
        low, high = (None, None) if interval is None else (shape(interval[0]), shape(interval[1]))
        is_finite = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
        value = shape(float(np.sum(values)) / total)
        return cls(
            value=value, num_samples=len(values), low=low if is_finite else None, high=high if is_finite else None
        )

    @classmethod
    def where_finite(cls, estimate: "Estimate | None") -> "tuple[Estimate | None, str]":
        """The estimate, or None and why it is no score."""
        if estimate is not None and math.isfinite(estimate.value):
            return estimate, ""
        return None, "there is no sample it is defined for" if estimate is None else f"the value is {estimate.value}"


@dataclass(kw_only=True, slots=True)
class Collected:
    """What one unit leaves besides its rows: what was dropped, and blobs that rows name."""

    unit: str = ""
    """Name of the job's unit."""
    dropped: list[Dropped] = field(default_factory=list)
    blobs: dict[str, bytes | Path] = field(default_factory=dict)
    """sha256 -> bytes, or the file that holds them."""
    folder: Path | None = None
    """Folder where audio waits until the unit is staged; None: in memory."""
    audio_s: float = 0.0
    """Seconds of audio that were encoded or made."""

    def drop(self, row_id: str, reason: str, detail: str) -> None:
        self.dropped.append(Dropped(row_id=row_id, reason=reason, detail=detail, unit=self.unit))

    def put_blob(self, data: bytes) -> str:
        digest = hash_bytes(data)
        self.blobs[digest] = data
        return digest

    def put_lines(self, lines: Sequence[Mapping[str, Any]]) -> str:
        """Predictions as JSON lines; the blob's sha256."""
        text = io.StringIO()
        for line in lines:
            text.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
        return self.put_blob(text.getvalue().encode())

    def put_audio(self, samples: np.ndarray) -> str:
        """`[N]` samples at 24 kHz as FLAC; the blob's sha256."""
        data = write_flac_bytes(samples, SAMPLE_RATE)
        digest = self.put_blob(data)
        if self.folder is not None:
            file = self.folder / f"{digest}.flac"
            file.write_bytes(data)
            self.blobs[digest] = file
        return digest
