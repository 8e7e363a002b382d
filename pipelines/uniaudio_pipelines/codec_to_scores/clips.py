"""The codec of a plan and the clips that it is judged by, each opened when it is first asked for.

Row      Clip(row=<annotated>, recording="5f1c…", samples=[240000] float32), and behind it codes and the states that they are made of
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import pyarrow.compute as pc
import torch
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import from_table
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import version_with
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.audio.frames import SAMPLE_RATE, UNIT
from uniaudio.codec import encoding
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.evaluation.held_out import (
    DOMAINS,
    HeldOutClip,
    held_out_clip,
    held_out_rows,
    raw_rows,
)
from uniaudio.training.sequences.recordings import recording_of
from uniaudio_pipelines.codec_to_scores.job import CodecToScores

# Shapes: C channels, N samples, R and T frames, Q codebooks, D width


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A held-out clip before it is heard."""

    row: Annotated

    @property
    def clip_id(self) -> str:
        return self.row.clip_id

    @property
    def recording(self) -> str:
        return recording_of(self.row)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A clip in codes, and the states behind them."""

    row: Annotated
    samples: np.ndarray
    """`[N]` float32 at 24 kHz."""
    encoded: encoding.Encoded
    whisper_TD: np.ndarray
    """`[T50, D]` float32 of the codec's Whisper, 50 Hz."""


class CodecClips:
    """The versions of one plan, opened."""

    def __init__(self, store_root: str, job: CodecToScores, plan: Plan) -> None:
        self.store, self.job, self.plan = Store(store_root), job, plan

    def manifest(self, kind: str) -> Manifest:
        manifest = version_with(self.store, kind, self.plan.parents[kind])
        if manifest is None:
            raise DataError(f"the store must hold {kind} {self.plan.parents[kind][:8]}, but does not.")
        return manifest

    @cached_property
    def row(self) -> CodecRow:
        rows = list(self.store.rows(self.manifest("codec"), CodecRow))
        if len(rows) != 1:
            raise DataError(
                f"A version of codec must hold one row, but {self.plan.parents['codec'][:8]} has {len(rows)}."
            )
        return rows[0]

    @cached_property
    def codec(self) -> ReasoningCodec:
        codec = ReasoningCodec.load_files(self.row.config, self.store.open_blob(self.row.weights))
        return codec.to(self.job.device).eval()

    @property
    def longest(self) -> int:
        """Samples of a clip that are heard, whole frames of both streams."""
        return max(UNIT, int(self.job.max_clip_s * SAMPLE_RATE) // UNIT * UNIT)

    @cached_property
    def held_out(self) -> dict[str, list[Clip]]:
        """Domain -> its first clips, one a recording, copies being one recording."""
        clips_by_domain: dict[str, list[Clip]] = {}
        for domain, rows in zip(DOMAINS, held_out_rows(self.store, self.manifest("annotated")), strict=True):
            clips_by_domain[domain] = list(islice(_one_a_recording(rows), self.job.num_clips))
        return clips_by_domain

    @cached_property
    def _raws(self) -> dict[str, Raw]:
        rows = [clip.row for clips in self.held_out.values() for clip in clips]
        return raw_rows(self.store, self.manifest("raw"), [*rows, *self._trained_rows])

    def hear(self, clip: Clip) -> HeldOutClip | None:
        """The clip with its audio; None where it is silent."""
        return held_out_clip(self.store, clip.row, self._raws, self.longest)

    @cached_property
    def _trained_rows(self) -> list[Annotated]:
        """The first training clips of each domain, in the order of their ids."""
        rows: dict[str, list[Annotated]] = {domain: [] for domain in DOMAINS}
        for table in self.store.tables(self.manifest("annotated")):
            is_wanted = pc.and_(pc.equal(table["split"], "train"), pc.greater(table["num_samples"], 0))
            for row in from_table(table.filter(is_wanted), Annotated):
                if row.domain in rows and not row.leaks:
                    rows[row.domain].append(row)
        ordered = (sorted(group, key=lambda row: row.clip_id) for group in rows.values())
        return [row for group in ordered for row in group[: self.job.num_train_clips]]

    @cached_property
    def trained(self) -> list[Encoded]:
        """Training clips in codes."""
        return list(self._encode(self._trained_rows))

    @cached_property
    def tested(self) -> list[Encoded]:
        """Held-out clips in codes."""
        return list(self._encode([clip.row for clips in self.held_out.values() for clip in clips]))

    def _encode(self, rows: Sequence[Annotated]) -> Iterator[Encoded]:
        for row in rows:
            clip_audio = held_out_clip(self.store, row, self._raws, self.longest)
            if clip_audio is not None:
                samples_1N = torch.from_numpy(clip_audio.samples)[None]
                (encoded,) = encoding.encode_clips(self.codec, [samples_1N], sample_rate=SAMPLE_RATE, keep_hidden=True)
                yield Encoded(row, clip_audio.samples, encoded, self._whisper(clip_audio.samples))

    @torch.inference_mode()
    def _whisper(self, samples: np.ndarray) -> np.ndarray:
        """`[T50, D]`, as many as the clip is long."""
        padded = np.pad(samples, (0, -len(samples) % UNIT))
        with encoding.settled_numerics(self.codec):
            features = self.codec.encoders(torch.from_numpy(padded)[None].to(self.codec.device))
        num_frames = max(1, len(samples) * 50 // SAMPLE_RATE)
        return np.asarray(features.whisper[0, :num_frames].float().cpu())


def _one_a_recording(rows: Sequence[Annotated]) -> Iterator[Clip]:
    recording_names: set[str] = set()
    for row in rows:
        names = {row.raw_clip_id, row.duplicate_cluster or row.clip_id}
        if not names & recording_names:
            recording_names |= names
            yield Clip(row)
