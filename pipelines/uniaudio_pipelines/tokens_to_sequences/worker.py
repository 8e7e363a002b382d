"""One shard of instructions to one shard of sequences. Memory: the shard, and the codes of its clips."""

from pathlib import Path

from uniaudio_schemas.errors import DataError, FingerprintError, UsageError
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.record import from_table
from uniaudio_schemas.kinds.sequences import Sequence, train_statistics
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Plan, ShardInfo

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.sequence.build import build_sequence
from uniaudio.sequence.layout import num_positions
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer, HuggingFaceTokenizer, TextTokenizer
from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.running.edge import ShardResult
from uniaudio_pipelines.tokens_to_sequences.codes import CodesOfClips
from uniaudio_pipelines.tokens_to_sequences.job import BYTES, VOCABULARY, TokensToSequences


def _text_ids(job: TokensToSequences, codec: CodecRow) -> tuple[TextTokenizer, Vocabulary]:
    """The tokenizer and the vocabulary that the job's `tokenizer` stands for."""
    tokenizer = job.tokenizer
    sizes = (codec.reasoning_codebook_size if job.reasoning else 0), codec.reconstruction_codebook_size
    if tokenizer == BYTES:
        return ByteTokenizer(), Vocabulary.build(ByteTokenizer(), *sizes)
    if (Path(tokenizer) / VOCABULARY).is_file():
        from uniaudio.run.folder import text_of_folder

        reader, vocabulary = text_of_folder(Path(tokenizer))
        if (sizes_of_model := (vocabulary.reasoning_codes, vocabulary.reconstruction_codes)) != sizes:
            raise FingerprintError(
                f"the vocabulary of the model in {tokenizer} has {sizes_of_model[0]} reasoning and {sizes_of_model[1]} reconstruction codes, "
                f"but the codec of the tokens has {sizes[0]} and {sizes[1]}: it was not trained with this codec."
            )
        return reader, vocabulary
    reader = HuggingFaceTokenizer.from_folder(tokenizer)
    return reader, Vocabulary.build(reader, *sizes)


class SequenceWorker:
    def __init__(self, store_root: str, job: TokensToSequences, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        self._instructions = self._store.version_with("instructions", plan.parents["instructions"])
        self._shards: dict[str, list[ShardInfo]] = {}
        for shard in self._instructions.shards:
            self._shards.setdefault(shard.unit, []).append(shard)
        self._codec = next(self._store.rows(self._store.version_with("codec", plan.parents["codec"]), CodecRow))
        tokens = self._store.version_with("tokens", plan.parents["tokens"])
        folder = cache_folder(self._store) / job.EDGE / plan.plan_id
        self._codes = CodesOfClips(self._store, tokens, self._codec.codec_id, folder)
        self._tokenizer, self._vocabulary = _text_ids(job, self._codec)
        self._metadata = {
            "vocabulary": self._vocabulary.to_json(),
            "vocabulary_fingerprint": self._vocabulary.fingerprint,
            "codec_fingerprint": self._codec.codec_id,
            **({"numerics": self._codes.numerics} if self._codes.numerics else {}),
        }

    def process(self, unit: str) -> ShardResult:
        instructions = [
            row
            for shard in self._shards[unit]
            for row in from_table(self._store.table_of_shard(self._instructions, shard), Instruction)
        ]
        tokens = self._codes.of({part.clip_id for row in instructions for part in row.segments if part.clip_id})
        made: list[Sequence] = []
        dropped: list[Dropped] = []
        for row in instructions:
            result = self._sequence(row, tokens, unit)
            if isinstance(result, Dropped):
                dropped.append(result)
            else:
                made.append(result)
        kept = {row.sequence_id for row in made}
        heard = {part.clip_id for row in instructions if row.instruction_id in kept for part in row.segments}
        samples = sum(tokens[clip].num_samples for clip in heard if clip)
        positions = sum(num_positions(row) for row in made)
        statistics = {
            "audio_s": samples / SAMPLE_RATE,
            "num_positions": float(positions),
            **train_statistics(made),
        }
        return ShardResult(rows=made, dropped=dropped, metadata=self._metadata, statistics=statistics)

    def _sequence(self, row: Instruction, tokens: dict[str, Tokens], unit: str) -> Sequence | Dropped:
        missing = sorted({part.clip_id for part in row.segments if part.clip_id and part.clip_id not in tokens})
        if missing:
            detail = f"{row.task}: no tokens of {', '.join(missing)}"
            return Dropped(row_id=row.instruction_id, reason="missing_tokens", detail=detail, unit=unit)
        try:
            sequence = build_sequence(row, tokens, self._tokenizer, self._vocabulary)
        except (DataError, UsageError) as error:
            raise DataError(f"instructions row {row.instruction_id} ({row.task}): {error}") from error
        if not any(part.loss for part in sequence.segments):
            detail = f"{row.task}: nothing to learn without reasoning tokens"
            return Dropped(row_id=row.instruction_id, reason="no_loss", detail=detail, unit=unit)
        length = num_positions(sequence)
        if length > self._job.max_positions:
            detail = f"{row.task}: {length} positions, at most {self._job.max_positions}"
            return Dropped(row_id=row.instruction_id, reason="too_long", detail=detail, unit=unit)
        return sequence
