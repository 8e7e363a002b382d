"""One shard of instructions to one shard of sequences. Memory: the shard, and the codes of its clips."""

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.codec import CodecRow
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.instructions import Instruction
from uniaudio_schemas.manifest import Manifest, Plan
from uniaudio_schemas.record import rows
from uniaudio_schemas.sequences import Sequence
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.tokens import Tokens

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.sequence.build import build_sequence
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer, HuggingFaceTokenizer, TextTokenizer
from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences


class SequenceWorker:
    def __init__(self, store_root: str, job: TokensToSequences, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        self._instructions = _parent(self._store, "instructions", job.instructions_ref, plan)
        self._tokens = _parent(self._store, "tokens", job.tokens_ref, plan)
        codec = next(self._store.rows(_parent(self._store, "codec", job.codec_ref, plan), CodecRow))
        self._tokenizer: TextTokenizer = (
            ByteTokenizer() if job.tokenizer == "bytes" else HuggingFaceTokenizer.from_folder(job.tokenizer)
        )
        self._vocabulary = Vocabulary.build(
            self._tokenizer, codec.reasoning_codebook_size, codec.reconstruction_codebook_size
        )
        self._codec_fingerprint = codec.codec_id
        for shard in self._tokens.shards:
            found = self._store.shard_metadata(self._tokens, shard).get("codec_fingerprint", codec.codec_id)
            if found != codec.codec_id:
                raise DataError(
                    f"{self._store.shard_path(self._tokens, shard)}: its codec is {found[:8]}, but this one is {codec.codec_id[:8]}."
                )

    def process(self, unit: str) -> ShardResult:
        shard = next(shard for shard in self._instructions.shards if shard.unit == unit)
        instructions = list(rows(self._store.table_of_shard(self._instructions, shard), Instruction))
        tokens = self._tokens_of(
            {segment.clip_id for row in instructions for segment in row.segments if segment.clip_id}
        )
        made: list[Sequence] = []
        dropped = []
        for instruction in instructions:
            try:
                sequence = build_sequence(instruction, tokens, self._tokenizer, self._vocabulary)
            except KeyError as error:
                dropped.append(
                    Dropped(row_id=instruction.instruction_id, reason="missing_tokens", detail=str(error), unit=unit)
                )
                continue
            num_positions = sum(segment.length for segment in sequence.segments)
            if num_positions > self._job.max_positions:
                detail = f"{num_positions} positions"
                dropped.append(Dropped(row_id=instruction.instruction_id, reason="too_long", detail=detail, unit=unit))
            else:
                made.append(sequence)
        heard = {segment.clip_id for row in instructions for segment in row.segments if segment.clip_id in tokens}
        metadata = {
            "vocabulary": self._vocabulary.to_json(),
            "vocabulary_fingerprint": self._vocabulary.fingerprint,
            "codec_fingerprint": self._codec_fingerprint,
        }
        statistics = {"audio_s": sum(tokens[clip].num_samples for clip in sorted(heard)) / SAMPLE_RATE}
        return ShardResult(rows=made, dropped=dropped, metadata=metadata, statistics=statistics)

    def _tokens_of(self, clip_ids: set[str]) -> dict[str, Tokens]:
        wanted = pa.array(sorted(clip_ids), pa.string())
        found: dict[str, Tokens] = {}
        for table in self._store.tables(self._tokens):
            chosen = table.filter(pc.is_in(table["clip_id"], value_set=wanted))
            found.update((row.clip_id, row) for row in rows(chosen.combine_chunks(), Tokens))
        return found


def _parent(store: Store, kind: str, ref: str, plan: Plan) -> Manifest:
    manifest = store.head(kind, ref)
    if manifest is None or manifest.content_id != plan.parents[kind]:
        raise UsageError(f"`{kind}` has changed since this job was planned: run the flow again.")
    return manifest
