"""From files to scores in one process: every edge for real on synthetic audio, the codec a small untrained one, one stage under Ray Train."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.worker import ScoreWorker
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint.driver import run_stages
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.testing import tiny_codec

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture
def ray_cluster() -> Iterator[None]:
    cluster.connect(num_cpus=2)
    yield
    cluster.disconnect()


def lay_out_source(source: Path) -> None:
    import soundfile

    (source / "bells").mkdir(parents=True)
    (source / "notes").mkdir()
    lines = []
    for number in range(12):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 30 * number) * np.arange(12_000) / 16_000)
        soundfile.write(source / "bells" / f"{number}.wav", wave, 16_000)
        lines.append(f'{{"path": "{number}.wav", "domain": "sound", "given_title": "bell {number}"}}')
        (source / "notes" / f"{number}.txt").write_text(f"A note about bell number {number}: it rings. " * 4)
    (source / "bells" / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def publish_codec(store: Store) -> None:
    """As `annotated_to_codec` would, without the training."""
    codec = tiny_codec()
    annotated = store.head("annotated")
    assert annotated is not None
    folder = store.root / "codec-files"
    codec.save(folder)
    plan = Plan(
        kind="codec",
        schema_version=1,
        parents={"annotated": annotated.content_id},
        parameters={},
        code_version="test",
        units=["codec"],
    )
    with store.writer(plan, owner="test") as writer:
        weights = writer.put_blob(folder / "codec.safetensors")
        row = CodecRow(
            codec_id=codec.fingerprint,
            size="debug",
            weights=weights,
            config=(folder / "config.json").read_text(),
            sample_rate=SAMPLE_RATE,
            reasoning_hop_samples=REASONING_HOP,
            reconstruction_hop_samples=RECONSTRUCTION_HOP,
            reasoning_codebook_size=codec.config.reasoning_codebook_size,
            reconstruction_codebook_size=codec.config.reconstruction_codebook_size,
            num_codebooks=8,
        )
        writer.put_shard("codec", [row], metadata={"codec_fingerprint": row.codec_id}, blobs=[weights])
        writer.publish()


@pytest.mark.usefixtures("ray_cluster")
def test_files_become_scores(tmp_path: Path) -> None:
    lay_out_source(tmp_path / "source")
    store = Store(tmp_path / "store")
    in_process = {"num_workers": 0}
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, **in_process)
    run(store, RawToAnnotated(annotators=("loudness", "source_caption")), num_workers=0)
    publish_codec(store)
    run_edge(store, AnnotatedToInstructions(), InstructionWorker, **in_process)
    tokens = run_edge(store, InstructionsToTokens(), TokenWorker, **in_process)
    sequences = run_edge(store, TokensToSequences(), SequenceWorker, **in_process)
    checkpoint = run_stages(store, SequencesToCheckpoint(stages=("text_warmup",), num_steps=4), owner="test")
    scores = run_edge(
        store,
        CheckpointToScores(benchmarks=("perplexity", "held_out_loss"), num_sequences=2),
        ScoreWorker,
        **in_process,
    )
    assert tokens.num_rows == 12
    assert sequences.num_rows >= 36
    assert checkpoint.parents["sequences"] == sequences.content_id
    assert scores.num_rows > 0
    assert run_edge(store, InstructionsToTokens(), TokenWorker, **in_process) == tokens
