"""A store with one small version of everything `checkpoint_to_scores` reads: two clips a domain, an untrained codec
and model.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.checkpoint import Checkpoint, HeldOutLoss
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import write_flac_bytes
from uniaudio.sequence.layout import build_sequence
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.testing import a_waveform, tiny_codec, tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer
from uniaudio.training.sharding import full_tensors

CLIPS = {
    "speech-train": ("speech", "train", "let's go"),
    "speech-val": ("speech", "val", "come here"),
    "speech-test": ("speech", "test", None),
    "sound-train": ("sound", "train", None),
    "sound-val": ("sound", "val", None),
    "music-train": ("music", "train", None),
    "sound-copy": ("sound", "test", None),
}
"""Clip id -> domain, split, given text. No music is held out."""
HEARD = "heard words"
"""What a recognizer made of all speech."""
COPIES = ("sound-train", "sound-copy")
"""Sounds alike: the held-out one is nothing to be scored on."""


@dataclass(frozen=True)
class Built:
    store: Store
    manifests: dict[str, Manifest]


def write(store: Store, kind: str, rows: Iterable[Any], parents: dict[str, str], **options: Any) -> Manifest:
    plan = Plan(
        kind=kind, schema_version=newest(kind).version, parents=parents, parameters={}, code_version="test", units=["a"]
    )
    ref = options.pop("ref", "latest")
    with store.writer(plan, owner="test", ref=ref) as writer:
        blobs = [writer.put_blob(blob) for blob in options.pop("blobs", [])]
        writer.put_shard("a", list(rows), blobs=blobs, **options)
        return writer.publish()


def segments_of(task: str, clip: str, text: str) -> list[InstructionSegment]:
    answers_with_audio = task == "tts"
    audio = [
        InstructionSegment(kind=kind, loss=answers_with_audio, clip_id=clip) for kind in ("reasoning", "reconstruction")
    ]
    wrapper = "transcription" if task in ("asr", "tts") else "caption"
    spoken = InstructionSegment(kind="text", loss=not answers_with_audio, text=text, wrapper=wrapper)
    prompt = InstructionSegment(kind="prompt", loss=False, text=f"do {task}")
    return [prompt, spoken, *audio] if answers_with_audio else [prompt, *audio, spoken]


def the_instructions() -> list[Instruction]:
    rows = []
    for clip, (domain, split, given) in CLIPS.items():
        tasks = {"speech": ("asr", "tts"), "sound": ("audio_caption",), "music": ("music_caption",)}[domain]
        for task in tasks:
            text = (given or HEARD) if domain == "speech" else f"a {domain} of rain"
            common = {"task": task, "mixture": task, "split": split, "corpus": "made", "clip_ids": [clip]}
            segments = segments_of(task, clip, text)
            rows.append(Instruction(instruction_id=f"{task}-{clip}", segments=segments, **common))
    return rows


def write_audio(store: Store) -> tuple[Manifest, Manifest, dict[str, np.ndarray]]:
    waveforms = {clip: a_waveform(0.8, frequency=150 + 40 * index) for index, clip in enumerate(CLIPS)}
    flacs = {clip: write_flac_bytes(samples, SAMPLE_RATE) for clip, samples in waveforms.items()}
    tar, raw, annotated = b"", [], []
    for clip, flac in flacs.items():
        domain, split, given = CLIPS[clip]
        common = {"corpus": "made", "path": f"made/{clip}", "licence": "CC0-1.0", "domain": domain, "given_text": given}
        size = {"sample_rate": SAMPLE_RATE, "num_samples": len(waveforms[clip]), "channels": 1}
        place = {"tar": "", "tar_offset": len(tar), "tar_size": len(flac)}
        raw.append({"clip_id": clip, "medium": "audio", "sha256": clip, **place, **common, **size})
        heard = {"transcript": HEARD if domain == "speech" else None}
        copied = {"duplicate_cluster": "alike" if clip in COPIES else None}
        annotated.append(Annotated(clip_id=clip, raw_clip_id=clip, split=split, **common, **size, **heard, **copied))
        tar += flac
    plan = Plan(kind="raw", schema_version=2, parents={}, parameters={}, code_version="test", units=["a"])
    with store.writer(plan, owner="test") as writer:
        digest = writer.put_blob(tar)
        writer.put_shard("a", [Raw(**(row | {"tar": digest})) for row in raw], blobs=[digest])
        raw_manifest = writer.publish()
    return raw_manifest, write(store, "annotated", annotated, {"raw": raw_manifest.content_id}), waveforms


def write_codec(store: Store, folder: Path, parents: dict[str, str]) -> Manifest:
    codec = tiny_codec()
    codec.save(folder)
    weights = (folder / "codec.safetensors").read_bytes()
    plan = Plan(kind="codec", schema_version=1, parents=parents, parameters={}, code_version="test", units=["a"])
    with store.writer(plan, owner="test") as writer:
        row = CodecRow(
            codec_id=codec.fingerprint,
            size="debug",
            weights=writer.put_blob(weights),
            config=codec.config.to_json(),
            sample_rate=SAMPLE_RATE,
            reasoning_hop_samples=4_800,
            reconstruction_hop_samples=1_920,
            reasoning_codebook_size=64,
            reconstruction_codebook_size=128,
            num_codebooks=8,
        )
        writer.put_shard("a", [row], blobs=[row.weights])
        return writer.publish()


def write_checkpoints(store: Store, folder: Path, sequences: Manifest, vocabulary: Vocabulary) -> Manifest:
    """Two stages; the second is `latest`."""
    model = tiny_lm(vocabulary)
    save_file(full_tensors(model), folder / "model.safetensors")
    config = {"model": json.loads(model.config.to_json()), "vocabulary": json.loads(vocabulary.to_json())}
    parents = {"sequences": sequences.content_id}
    for number, stage in enumerate(("stage1", "stage2")):
        plan = Plan(
            kind="checkpoint", schema_version=2, parents=parents, parameters={}, code_version="test", units=["a"]
        )
        with store.writer(plan, owner="test") as writer:
            row = Checkpoint(
                checkpoint_id=stage,
                stage=stage,
                size="debug",
                step=3,
                parent=None if number == 0 else "stage1",
                weights=writer.put_blob(folder / "model.safetensors"),
                config=json.dumps(config, sort_keys=True),
                vocabulary_fingerprint=vocabulary.fingerprint,
                codec_fingerprint=tiny_codec().fingerprint,
                sequences=sequences.content_id,
                data_position=7,
                seed=0,
                held_out=[
                    HeldOutLoss(
                        task="asr",
                        before=5.0 - number,
                        after=4.0 - number,
                        num_sequences=2,
                        # The first stage is of a time before chance was told.
                        uniform=5.6 if number else None,
                        unigram=2.9 if number else None,
                    )
                ],
            )
            writer.put_shard("a", [row], blobs=[row.weights])
            manifest = writer.publish()
        parents = {"sequences": sequences.content_id, "checkpoint": manifest.content_id}
    return manifest


def build(folder: Path) -> Built:
    store, vocabulary = Store(folder / "store"), Vocabulary()
    raw, annotated, waveforms = write_audio(store)
    codec = write_codec(store, folder / "codec", {"annotated": annotated.content_id})
    instructions = write(store, "instructions", the_instructions(), {"annotated": annotated.content_id})
    clips = list(waveforms)
    encoded = zip(clips, tiny_codec().encode([waveforms[clip] for clip in clips]), strict=True)
    codes = {
        clip: Tokens(
            clip_id=clip,
            num_samples=one.num_samples,
            reasoning_codes=one.reasoning,
            reconstruction_codes=one.reconstruction,
        )
        for clip, one in encoded
    }
    parents = {"codec": codec.content_id, "instructions": instructions.content_id}
    tokens = write(store, "tokens", codes.values(), parents)
    rows = [build_sequence(row, codes, ByteTokenizer(), vocabulary) for row in the_instructions()]
    metadata = {"vocabulary": vocabulary.to_json(), "vocabulary_fingerprint": vocabulary.fingerprint}
    parents = {"tokens": tokens.content_id, "instructions": instructions.content_id}
    sequences = write(store, "sequences", rows, parents, metadata=metadata)
    checkpoint = write_checkpoints(store, folder, sequences, vocabulary)
    found = (raw, annotated, codec, instructions, tokens, sequences, checkpoint)
    return Built(store, {manifest.kind: manifest for manifest in found})


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Read-only; tests that write scores write other plans into it."""
    return build(tmp_path_factory.mktemp("scores"))
