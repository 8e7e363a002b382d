"""Example rows of every kind, for tests, notebooks and the README. They hang together: the clip of one is the clip of the next."""

from typing import Any

import numpy as np

from uniaudio_schemas.fingerprint import hash_bytes, hash_json, short
from uniaudio_schemas.kinds.annotated import Annotated, Annotation, Word
from uniaudio_schemas.kinds.checkpoint import Checkpoint, HeldOutLoss, LedgerEntry
from uniaudio_schemas.kinds.codec import CodecRow, Metric
from uniaudio_schemas.kinds.codec_scores import CodecScore
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.evalset import EvalsetItem
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment, Recipe
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.raw import Fact, Raw
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.kinds.scores import Medium, Score
from uniaudio_schemas.kinds.sequences import Sequence, SequenceSegment
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store.manifest import Plan
from uniaudio_schemas.store.runs import RunRow

NUM_SAMPLES = 19_200
"""0.8 s at 24 kHz: 4 reasoning and 10 reconstruction frames."""
_WEIGHTS = hash_bytes(b"weights")
_CODEC = short(hash_bytes(b"codec"))
_VOCABULARY = short(hash_bytes(b"vocabulary"))


def a_plan(kind: str = "raw", units: tuple[str, ...] = ("queen-00000",), **parameters: Any) -> Plan:
    """A plan without parents."""
    return Plan(
        kind=kind,
        schema_version=newest(kind).version,
        parents={},
        parameters=parameters,
        code_version="example-1",
        units=list(units),
    )


def clip_id(index: int = 0) -> str:
    return short(_sha256(index))


def example_rows(kind: str, num_rows: int = 1, *, first: int = 0) -> list[Any]:
    """`num_rows` different rows of `kind`, the same on every call."""
    return [_EXAMPLES[kind](index) for index in range(first, first + num_rows)]


def a_run() -> RunRow:
    return RunRow(
        run_id="job-1",
        edge="raw_to_annotated",
        kind="annotated",
        plan_id="4f",
        host="n1",
        started=1_700_000_000.5,
        seconds=1800.0,
        cpu_seconds=3600.0,
        gpu_seconds=0.0,
        peak_memory_bytes=2**30,
        hours=6.0,
        rows=311,
        attempts=7,
    )


def _sha256(index: int) -> str:
    return hash_bytes(f"clip {index}".encode())


def _raw(index: int) -> Raw:
    return Raw(
        clip_id=clip_id(index),
        medium="audio",
        corpus="queen",
        path=f"queen/DALT{index:04d}.mp3",
        sha256=_sha256(index),
        domain="speech",
        licence="freeware",
        sample_rate=24_000,
        num_samples=NUM_SAMPLES,
        channels=1,
        tar=hash_bytes(b"tar"),
        tar_offset=512 + 65_536 * index,
        tar_size=21_118,
        speaker="joe",
        given_text="Let's go.",
        given_tags=["dialogue"],
        language="en",
        facts=[Fact(name="gender", value="male")],
        audio_sha256=hash_bytes(f"samples {index}".encode()),
        landmarks=np.arange(3, dtype=np.int64) + (index << 32),
    )


def _evalset(index: int) -> EvalsetItem:
    return EvalsetItem(
        clip_id=clip_id(index),
        name="esc50",
        path=f"esc50/{index}.wav",
        sha256=_sha256(index),
        licence="CC-BY-NC-3.0",
        sample_rate=24_000,
        num_samples=NUM_SAMPLES,
        landmarks=np.arange(3, dtype=np.int64) + (index << 32),
    )


def _cut(index: int) -> dict[str, Any]:
    """The columns of a cut."""
    return dict(
        clip_id=clip_id(index),
        raw_clip_id=clip_id(index),
        corpus="queen",
        path=f"queen/DALT{index:04d}.mp3",
        domain="speech",
        licence="freeware",
        num_samples=NUM_SAMPLES,
        sample_rate=24_000,
        channels=1,
        language="en",
        transcript="let's go",
        words=[
            Word(word="let's", first_sample=1_920, num_samples=5_760, confidence=0.91),
            Word(word="go", first_sample=8_160, num_samples=4_320, confidence=0.97),
        ],
        given_text="Let's go.",
        speaker="joe",
        speaker_embedding=[0.6, -0.8],
        tags=["dialogue"],
        loudness_lufs=-21.4,
        snr_db=31.0,
        mos=3.1,
        speech_fraction=0.75,
        facts=[Fact(name="gender", value="male")],
        pitch_hz=121.0,
        characters_per_s=13.1,
        annotations=[Annotation(value="transcript", annotator="whisper-base", version="20250625", confidence=0.94)],
        asked=["transcript whisper-base-20250625"],
    )


def _annotated(index: int) -> Annotated:
    return Annotated(**_cut(index), split="train", duplicate_cluster=clip_id(index))


def _instruction(index: int) -> Instruction:
    clip = clip_id(index)
    parameters = '{"snr_db":10.0}'
    noisy = short(hash_json(["add_noise", [clip], parameters, index]))
    return Instruction(
        instruction_id=short(hash_json(["asr", clip])),
        task="asr",
        mixture="asr",
        split="train",
        corpus="queen",
        segments=[
            InstructionSegment(kind="prompt", loss=False, text="Transcribe the speech."),
            InstructionSegment(kind="reasoning", loss=False, clip_id=noisy),
            InstructionSegment(kind="reconstruction", loss=False, clip_id=noisy),
            InstructionSegment(kind="text", loss=True, text="Let's go.", wrapper="transcription"),
        ],
        recipes=[
            Recipe(
                clip_id=noisy,
                operation="add_noise",
                parents=[clip],
                parameters=parameters,
                seed=index,
                num_samples=NUM_SAMPLES,
            )
        ],
        clip_ids=sorted([clip, noisy]),
    )


def _codec(index: int) -> CodecRow:
    return CodecRow(
        codec_id=_CODEC if index == 0 else short(hash_bytes(f"codec {index}".encode())),
        size="debug",
        weights=_WEIGHTS,
        config='{"num_codebooks":8}',
        sample_rate=24_000,
        reasoning_hop_samples=4_800,
        reconstruction_hop_samples=1_920,
        reasoning_codebook_size=64,
        reconstruction_codebook_size=128,
        num_codebooks=8,
        metrics=[Metric(phase="scalar", step=100, name="loss", value=0.42)],
    )


def _codes(index: int, num_frames: int, codebook_size: int) -> np.ndarray:
    """`[num_frames, 8]` int16."""
    return np.random.default_rng([index, num_frames]).integers(0, codebook_size, (num_frames, 8), dtype=np.int16)


def _tokens(index: int) -> Tokens:
    return Tokens(
        clip_id=clip_id(index),
        num_samples=NUM_SAMPLES,
        reasoning_codes=_codes(index, NUM_SAMPLES // 4_800, 64),
        reconstruction_codes=_codes(index, NUM_SAMPLES // 1_920, 128),
    )


def _sequence(index: int) -> Sequence:
    text = np.frombuffer(b"Transcribe the speech.Let's go.", np.uint8).astype(np.int32)
    return Sequence(
        sequence_id=short(hash_json(["asr", clip_id(index)])),
        task="asr",
        mixture="asr",
        split="train",
        corpus="queen",
        segments=[
            SequenceSegment(kind="text", start=0, length=22, loss=False),
            SequenceSegment(kind="audio", start=0, length=4, loss=False),
            SequenceSegment(kind="text", start=22, length=9, loss=True),
        ],
        audio_ids=_codes(index, NUM_SAMPLES // 4_800, 64),
        text_ids=text,
        clip_ids=[clip_id(index)],
    )


def _checkpoint(index: int) -> Checkpoint:
    return Checkpoint(
        checkpoint_id=short(hash_bytes(f"checkpoint {index}".encode())),
        stage="stage1",
        size="debug",
        step=60,
        parent=None,
        weights=_WEIGHTS,
        config='{"width":128}',
        vocabulary_fingerprint=_VOCABULARY,
        codec_fingerprint=_CODEC,
        sequences=short(hash_bytes(b"sequences")),
        data_position=480,
        seed=0,
        ledger=[LedgerEntry(mixture="asr", num_examples=61, num_loss_tokens=3_904)],
        held_out=[HeldOutLoss(task="asr", before=5.6, after=2.9, num_sequences=12, uniform=5.6, unigram=3.4)],
        metrics=[Metric(phase="stage1", step=0, name="loss", value=5.6)],
    )


def _score(index: int) -> Score:
    return Score(
        score_id=short(hash_json(["asr", "wer", index])),
        checkpoint_id=short(hash_bytes(b"checkpoint 0")),
        benchmark="asr",
        metric="wer",
        domain="speech",
        value=1.31,
        low=1.12,
        high=1.5,
        num_samples=9,
        baseline="empty answer",
        baseline_value=1.0,
        higher_is_better=False,
        media=[Medium(title="Let's go.", mime="audio/flac", blob=hash_bytes(b"flac"))],
    )


def _codec_score(index: int) -> CodecScore:
    return CodecScore(
        score_id=short(hash_json(["Codec2 1400", "pesq", index])),
        codec_id=_CODEC,
        system="Codec2 1400",
        benchmark="reconstruction",
        metric="pesq",
        domain="speech",
        value=1.32,
        low=1.2,
        high=1.4,
        num_samples=20,
        bits_per_s=1_400.0,
        baseline="white noise of the same level",
        baseline_value=1.04,
        higher_is_better=True,
    )


def _dropped(index: int) -> Dropped:
    return Dropped(
        row_id=f"queen/DALT{index:04d}.mp3",
        reason="too_short",
        detail="0.041 s, at least 0.1 s",
        unit="queen-00000",
    )


_MAKERS = (
    _raw,
    _evalset,
    lambda index: Cut(**_cut(index)),
    _annotated,
    _instruction,
    _codec,
    _tokens,
    _sequence,
    _checkpoint,
    _score,
    _codec_score,
    _dropped,
)
_EXAMPLES = {schema_of(type(make(0))).kind: make for make in _MAKERS}
EXAMPLE_KINDS = tuple(_EXAMPLES)
