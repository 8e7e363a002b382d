"""Instructions and codes joined: every example laid out, or dropped with its reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.sequence.layout import grid_of, pick_up
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS

CODEC = CodecRow(
    codec_id="codec-a", size="debug", weights="", config="{}", sample_rate=24_000, reasoning_hop_samples=4_800,
    reconstruction_hop_samples=1_920, reasoning_codebook_size=64, reconstruction_codebook_size=128, num_codebooks=8,
)  # fmt: skip
METADATA = {"codec_fingerprint": "codec-a", "numerics": "cpu-float32"}


def write(store: Store, kind: str, shards: dict[str, list[Any]], parents: dict[str, str], **metadata: str) -> Manifest:
    plan = Plan(
        kind=kind,
        schema_version=newest(kind).version,
        parents=parents,
        parameters={},
        code_version="t",
        units=sorted(shards),
    )
    with store.writer(plan, owner="test") as writer:
        for unit, rows in shards.items():
            writer.put_shard(unit, rows, metadata=metadata or None)
        return writer.publish()


def tokens_of(name: str, num_samples: int = 24_000) -> Tokens:
    draw = np.random.default_rng(len(name))
    sizes = ((64, -(-num_samples // 4_800)), (128, -(-num_samples // 1_920)))
    reasoning, reconstruction = (draw.integers(0, size, (count, 8)).astype(np.int16) for size, count in sizes)
    return Tokens(clip_id=name, num_samples=num_samples, reasoning_codes=reasoning, reconstruction_codes=reconstruction)


def instructions_of(corpus: str) -> list[Instruction]:
    common = {"corpus": corpus, "split": "train"}
    return [
        TASKS["asr"].instruction(texts={"transcript": "hi"}, clips={"audio": f"{corpus}1"}, **common),
        TASKS["tts"].instruction(texts={"transcript": "hi"}, clips={"audio": f"{corpus}22"}, **common),
        TASKS["audio_only"].instruction(clips={"audio": f"{corpus}-lost"}, **common),
        TASKS["text_only"].instruction(texts={"passage": "many words " * 30}, sources=[f"{corpus}t"], **common),
    ]


def a_store(root: Path) -> Store:
    store = Store(root)
    codec = write(store, "codec", {"codec": [CODEC]}, {})
    shards = {f"{corpus}-00000": instructions_of(corpus) for corpus in "ab"}
    instructions = write(store, "instructions", shards, {})
    tokens = {"all": [tokens_of(name) for name in ("a1", "a22", "b1", "b22")]}
    write(store, "tokens", tokens, {"codec": codec.content_id, "instructions": instructions.content_id}, **METADATA)
    return store


def join(store: Store, job: TokensToSequences) -> Manifest:
    return run_edge(store, job, SequenceWorker, num_workers=0, owner="test")


def test_an_example_becomes_a_grid_and_one_without_tokens_or_too_long_is_named(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    manifest = join(store, TokensToSequences(max_positions=200))
    rows = list(store.rows(manifest, Sequence))
    assert sorted(row.task for row in rows) == ["asr", "asr", "tts", "tts"]
    assert manifest.dropped == {"missing_tokens": 2, "too_long": 2}
    details = store.dropped(manifest)["detail"].to_pylist()
    assert any("a-lost" in detail for detail in details)
    for row in rows:
        assert grid_of(row).loss.any()


def test_the_codes_of_a_clip_come_back_out_of_its_sequence(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    manifest = join(store, TokensToSequences())
    vocabulary = Vocabulary.from_json(store.shard_metadata(manifest, manifest.shards[0])["vocabulary"])
    row = next(row for row in store.rows(manifest, Sequence) if row.task == "asr" and row.corpus == "a")
    segments = [segment.ids for segment in pick_up(grid_of(row), vocabulary) if segment.is_audio]
    assert np.array_equal(segments[0][1:-1], tokens_of("a1").reasoning_codes)
    assert np.array_equal(segments[1][1:-1] - vocabulary.reconstruction_offset, tokens_of("a1").reconstruction_codes)


def test_a_shard_holds_one_corpus_and_says_what_its_ids_mean(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    manifest = join(store, TokensToSequences())
    for shard in manifest.shards:
        metadata = store.shard_metadata(manifest, shard)
        vocabulary = Vocabulary.from_json(metadata["vocabulary"])
        assert metadata["vocabulary_fingerprint"] == vocabulary.fingerprint
        assert (metadata["codec_fingerprint"], metadata["numerics"]) == ("codec-a", "cpu-float32")
        assert len(set(store.table_of_shard(manifest, shard)["corpus"].to_pylist())) == 1
    assert sorted(manifest.parents) == ["codec", "instructions", "tokens"]


def test_a_worker_finds_its_versions_although_the_refs_moved_on(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    job = TokensToSequences()
    plan = job.plan(store)
    for kind in ("codec", "instructions", "tokens"):
        write(store, kind, {"other": []}, {"raw": "other"})
    assert len(SequenceWorker(str(tmp_path), job, plan).process("a-00000").rows) == 3


def test_joining_twice_gives_the_same_contents(tmp_path: Path) -> None:
    contents = {join(a_store(tmp_path / name), TokensToSequences()).content_id for name in "xy"}
    assert len(contents) == 1


def test_tokens_of_another_codec_are_refused_before_any_work(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    write(store, "codec", {"codec": [replace(CODEC, codec_id="codec-b")]}, {"annotated": "x"})
    with pytest.raises(FingerprintError, match="tokenize-corpus"):
        TokensToSequences().plan(store)


def test_tokens_of_older_instructions_are_refused(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    write(store, "instructions", {"a-00000": instructions_of("a")[:1]}, {"annotated": "x"})
    with pytest.raises(FingerprintError, match="must be made from instructions"):
        TokensToSequences().plan(store)


def test_shards_of_two_numerics_are_refused(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    found = store.head("tokens")
    assert found is not None
    plan = Plan(
        kind="tokens", schema_version=1, parents=found.parents, parameters={"n": 2}, code_version="t", units=["a", "b"]
    )
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("a", [tokens_of("a1")], metadata=METADATA)
        writer.put_shard("b", [tokens_of("b1")], metadata={**METADATA, "numerics": "cuda-float32"})
        writer.publish()
    with pytest.raises(FingerprintError, match="share one numerics"):
        join(store, TokensToSequences())


def test_a_code_outside_the_codebook_names_its_row(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    found = store.head("tokens")
    assert found is not None
    wrong = replace(tokens_of("a1"), reasoning_codes=np.full((5, 8), 64, np.int16))
    write(store, "tokens", {"all": [wrong]}, found.parents | {"raw": "x"}, **METADATA)
    with pytest.raises(DataError, match=r"instructions row .* \(asr\): reasoning codes must lie in 0 … 63"):
        join(store, TokensToSequences())


def test_the_place_of_a_tokenizer_is_no_part_of_the_plan(tmp_path: Path) -> None:
    store = a_store(tmp_path / "store")
    plans = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text("{}")
        plans.append(TokensToSequences(tokenizer=str(tmp_path / name)).plan(store).plan_id)
    assert plans[0] == plans[1]
    with pytest.raises(UsageError, match=r"folder with a tokenizer\.json"):
        TokensToSequences(tokenizer=str(tmp_path)).plan(store)


def test_a_worker_reads_what_was_planned_though_latest_has_moved(tmp_path: Path) -> None:
    store, job = a_store(tmp_path), TokensToSequences()
    plan = job.plan(store)
    write(store, "instructions", {"a-00000": instructions_of("a")[:1]}, {"annotated": "x"})
    assert len(SequenceWorker(str(tmp_path), job, plan).process(plan.units[0]).rows) > 1
