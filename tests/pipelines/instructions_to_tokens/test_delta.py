"""What a few new clips cost: the shards they fall into; all others are the files that are there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_pipelines.instructions_to_tokens.clips import Clips
from uniaudio_pipelines.instructions_to_tokens.job import CODE_VERSION, InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.running.hashed import ranges_of
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import example_rows

from uniaudio.tasks import TASKS

JOB = InstructionsToTokens(clips_per_unit=8)


def write(store: Store, kind: str, rows: list[Any], parents: dict[str, str], **metadata: str) -> Manifest:
    plan = Plan(
        kind=kind, schema_version=newest(kind).version, parents=parents, parameters={}, code_version="t", units=["all"]
    )
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("all", rows, metadata=metadata or None)
        return writer.publish()


def tokens_of(clip: str) -> Tokens:
    codes = np.full((1, 8), len(clip), np.int16)
    return Tokens(clip_id=clip, num_samples=4_800, reasoning_codes=codes, reconstruction_codes=np.repeat(codes, 3, 0))


def put_clips(store: Store, num_clips: int) -> None:
    """Annotations of 64 clips, of which instructions name the first `num_clips`."""
    raw = store.head("raw") or write(store, "raw", [], {})
    (one,) = example_rows("annotated")
    assert isinstance(one, Annotated)
    rows = [replace(one, clip_id=f"clip-{number}") for number in range(64)]
    annotated = store.head("annotated") or write(store, "annotated", rows, {"raw": raw.content_id})
    made = [
        TASKS["asr"].instruction(
            texts={"transcript": "hi"}, clips={"audio": f"clip-{number}"}, corpus="c", split="train"
        )
        for number in range(num_clips)
    ]
    write(store, "instructions", made, {"annotated": annotated.content_id, "count": str(num_clips)})


def a_store(root: Path) -> Store:
    """Whose codes are all there, in a version that another job made: no codec is loaded."""
    store = Store(root)
    (codec,) = example_rows("codec")
    assert isinstance(codec, CodecRow)
    write(store, "codec", [codec], {})
    metadata = {
        "codec_fingerprint": codec.codec_id,
        "numerics": numerics("cpu"),
        "code_version": f"{JOB.EDGE}-{CODE_VERSION}",
    }
    write(store, "tokens", [tokens_of(f"clip-{number}") for number in range(64)], {}, **metadata)
    return store


def test_a_new_clip_changes_one_shard_and_the_others_are_not_written_again(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    put_clips(store, 60)
    first = run_edge(store, JOB, TokenWorker, num_workers=0)
    files = {path: path.stat().st_ino for path in (tmp_path / "tokens/shards").iterdir()}
    put_clips(store, 61)
    second = run_edge(store, JOB, TokenWorker, num_workers=0)
    assert (first.num_rows, second.num_rows) == (60, 61)
    changed = {shard.sha256 for shard in second.shards} - {shard.sha256 for shard in first.shards}
    assert (len(first.shards), len(changed)) == (8, 1)
    assert files.items() <= {path: path.stat().st_ino for path in (tmp_path / "tokens/shards").iterdir()}.items()


def test_a_plan_reads_no_shard(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    put_clips(store, 60)
    plan = JOB.plan(store)
    for path in tmp_path.glob("*/shards/*.arrow"):
        path.unlink()
    assert JOB.plan(store) == plan and len(plan.units) == 8


def test_every_clip_is_in_a_unit_of_the_plan_and_none_in_two(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    put_clips(store, 60)
    plan = JOB.plan(store)
    clips = Clips(store, plan, 3, JOB.folder(store, plan))
    found = [clips.of(part).to_pylist() for part in ranges_of(3)]
    assert [part.unit for part in ranges_of(3)] == plan.units
    assert sorted(clip for unit in found for clip in unit) == sorted(f"clip-{n}" for n in range(60))


def test_a_version_without_clips_has_an_empty_shard(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    put_clips(store, 0)
    manifest = run_edge(store, JOB, TokenWorker, num_workers=0)
    assert manifest.num_rows == 0 and len(manifest.shards) == 8
