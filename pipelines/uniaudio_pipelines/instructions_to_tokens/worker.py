"""Clips of one unit to one shard of tokens: codes that are in the store are taken over, the others are made.

A worker feeds its device from a stream over all clips of the unit; `stream.py` says how. Memory: the unit's codes, and what
waits before the encoder.
"""

import logging
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import FingerprintError
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio_pipelines.instructions_to_tokens.audio import UnitAudio
from uniaudio_pipelines.instructions_to_tokens.clips import Clips
from uniaudio_pipelines.instructions_to_tokens.finished import FinishedCodes
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens, unit_bits
from uniaudio_pipelines.instructions_to_tokens.known import KnownCodes, without
from uniaudio_pipelines.instructions_to_tokens.stream import TokenStream, too_short
from uniaudio_pipelines.running.edge import Hand, ShardResult
from uniaudio_pipelines.running.hashed import HashRange

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec

log = logging.getLogger(__name__)


class TokenWorker:
    """Holds the codec; one a device."""

    hand = Hand()

    def __init__(self, store_root: str, job: InstructionsToTokens, plan: Plan) -> None:
        if (here := job.numerics()) != plan.numerics:
            raise FingerprintError(f"The plan is for numerics {plan.numerics}, but this machine has {here}.")
        self._store, self._job = Store(store_root), job
        self._codec_row = next(self._store.rows(self._store.version_with("codec", plan.parents["codec"]), CodecRow))
        self._metadata = job.metadata(plan, self._codec_row.codec_id)
        self._folder = job.folder(self._store, plan)
        self._clips = Clips(self._store, plan, unit_bits(plan), self._folder)
        self._known = KnownCodes(self._store, self._metadata)
        self._codec: ReasoningCodec | None = None

    def process(self, unit: str) -> ShardResult:
        part = HashRange.of_unit(unit)
        assert part is not None, f"{unit} is no unit of a plan"
        clips = self._clips.of(part)
        earlier_rows = self._known.of(part, clips)
        missing = without(clips, earlier_rows)
        finished = FinishedCodes(self._folder / "finished" / unit)
        finished_rows = finished.read(missing)
        table, dropped = self._long_enough(pa.concat_tables([earlier_rows, finished_rows]))
        stream = self._encoded(part, without(missing, finished_rows), finished)
        if stream is not None:
            table = pa.concat_tables([table, to_table(stream.made, Tokens).replace_schema_metadata(None)])
            dropped += stream.dropped
        log.info("tokens %s: %d of %d clips were encoded before", unit, len(earlier_rows), len(clips))
        samples = pc.sum(table["num_samples"]).as_py() or 0
        return ShardResult(
            rows=table,
            dropped=[
                *(Dropped(row_id=clip, reason=reason, detail=detail, unit=unit) for clip, reason, detail in dropped),
                *(self.hand.dropped(clip, unit) for clip in clips.to_pylist() if clip in self.hand.refused),
            ],
            metadata=self._metadata,
            statistics={"audio_s": samples / SAMPLE_RATE},
            scratch=finished.folder,
            work={
                "taken_over_clips": len(earlier_rows),
                "continued_clips": len(finished_rows),
                **({} if stream is None else stream.work),
            },
        )

    def _encoded(self, part: HashRange, clips: pa.Array, finished: FinishedCodes) -> TokenStream | None:
        if not len(clips):
            return None
        audio = UnitAudio(self._store, self._clips.sources(part, clips), clips.to_pylist())
        stream = TokenStream(self._loaded_codec(), audio, self._job, finished)
        if self.hand.careful:
            for group in audio.groups():
                for clip in filter(self.hand.takes, group):
                    stream.encode([[clip]])
        else:
            stream.encode([list(filter(self.hand.takes, group)) for group in audio.groups()])
        return stream

    def _long_enough(self, table: pa.Table) -> tuple[pa.Table, list[tuple[str, str, str]]]:
        """Codes that are there may be of a job that took shorter clips."""
        is_long = pc.greater_equal(table["num_samples"], self._job.min_samples)
        short = table.filter(pc.invert(is_long)).select(["clip_id", "num_samples"]).to_pylist()
        return table.filter(is_long), [(row["clip_id"], *too_short(row["num_samples"], self._job)) for row in short]

    def _loaded_codec(self) -> "ReasoningCodec":
        """Loaded when the first clip needs it: a unit whose codes are all there costs no model."""
        if self._codec is None:
            import torch

            from uniaudio.codec.codec import ReasoningCodec
            from uniaudio.codec.encoding import Arithmetic

            weights = self._store.open_blob(self._codec_row.weights)
            self._codec = ReasoningCodec.load_files(self._codec_row.config, weights).to(self._job.device)
            self._codec.arithmetic = Arithmetic(dtype=getattr(torch, self._job.dtype))
            if self._job.compiled:
                self._codec.compile_encoders()
        return self._codec
