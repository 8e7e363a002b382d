"""A store with real audio: recordings as FLAC in tars, cuts of them, examples that name the cuts and mixtures of them."""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.fingerprint import hash_bytes, short
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.instructions import Instruction, Recipe
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.store.runs import read_runs
from uniaudio_schemas.testing import example_rows

from uniaudio.codec.doubles import BatchingCodec
from uniaudio.tasks import TASKS
from uniaudio.tasks.recipes import make_recipe

RATE = 24_000
GIVEN_CODEC: list[BatchingCodec] = []
"""Of the worker below, which lives in this process."""


class WorkerWithDouble(TokenWorker):
    def _loaded_codec(self) -> Any:
        return GIVEN_CODEC[-1]


def write(
    store: Store, kind: str, shards: dict[str, dict[str, Any]], parents: dict[str, str], **parameters: Any
) -> Manifest:
    """A new version. `shards`: unit -> what `put_shard` takes, and `data`, the blobs."""
    plan = Plan(
        kind=kind,
        schema_version=newest(kind).version,
        parents=parents,
        parameters={"number": len(store.versions(kind)), **parameters},
        code_version="t",
        units=sorted(shards),
    )
    with store.writer(plan, owner="test") as writer:
        for unit, shard in shards.items():
            blobs = [writer.put_blob(blob) for blob in shard.get("data", [])]
            more = {name: value for name, value in shard.items() if name != "data"}
            writer.put_shard(unit, **more, blobs=blobs)
        return writer.publish()


def sound(num_samples: int, seed: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(num_samples)).clip(-1, 1).astype(np.float32)


def put_raw(store: Store, recordings: Sequence[np.ndarray]) -> tuple[Manifest, list[Raw]]:
    """One tar of all."""
    tar_bytes, rows = io.BytesIO(), []
    (example,) = example_rows("raw")
    assert isinstance(example, Raw)
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, samples in enumerate(recordings):
            flac = io.BytesIO()
            soundfile.write(flac, samples, RATE, format="FLAC")
            info = tarfile.TarInfo(f"{number}.flac")
            info.size = len(flac.getvalue())
            offset = int(tar.offset) + tarfile.BLOCKSIZE
            tar.addfile(info, io.BytesIO(flac.getvalue()))
            size = {"num_samples": len(samples), "sample_rate": RATE, "channels": 1}
            place = {"tar_offset": offset, "tar_size": info.size, "path": f"{number}.wav"}
            rows.append(replace(example, clip_id=f"raw-{number}", mono_channel=None, **size, **place))
    data = tar_bytes.getvalue()
    rows = [replace(row, tar=hash_bytes(data)) for row in rows]
    return write(store, "raw", {"all": {"rows": rows, "data": [data]}}, {}), rows


def cuts_of(raws: Sequence[Raw], num_cuts: int) -> list[Annotated]:
    """`num_cuts` neighbouring cuts of each recording; one is the whole."""
    (example,) = example_rows("annotated")
    assert isinstance(example, Annotated)
    found = []
    for raw in raws:
        size = raw.num_samples // num_cuts
        for number in range(num_cuts):
            name = short(hash_bytes(f"{raw.clip_id}/{number}/{num_cuts}".encode()))
            place = {"first_sample": number * size, "num_samples": size, "sample_rate": RATE}
            found.append(replace(example, clip_id=name, raw_clip_id=raw.clip_id, domain="speech", **place))
    return found


def example_of(clip: str, *recipes: Recipe) -> Instruction:
    row = TASKS["asr"].instruction(texts={"transcript": "hi"}, clips={"audio": clip}, corpus="c", split="train")
    return replace(row, recipes=list(recipes))


def mixtures_of(cuts: Sequence[Annotated]) -> list[Recipe]:
    """One of each two neighbours."""
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return [make_recipe("mix", list(pair), {"snr_db": 3.0}, seed=1) for pair in pairs]


def put_instructions(
    store: Store,
    cuts: Sequence[Annotated],
    recipes: Sequence[Recipe] = (),
    *,
    named: Sequence[Annotated] | None = None,
    lost: Sequence[str] = (),
) -> Manifest:
    """Every cut, or those `named`, and every mixture in two examples of two shards; `lost`: clips that are nowhere."""
    raw = store.head("raw")
    assert raw is not None
    annotated = write(store, "annotated", {"all": {"rows": list(cuts)}}, {"raw": raw.content_id})
    rows = [example_of(name) for name in [*(cut.clip_id for cut in (cuts if named is None else named)), *lost]]
    rows += [example_of(recipe.clip_id, recipe) for recipe in recipes]
    again = [replace(row, instruction_id=short(hash_bytes(row.instruction_id.encode()))) for row in rows]
    shards = {"a": {"rows": rows}, "b": {"rows": again}}
    return write(store, "instructions", shards, {"annotated": annotated.content_id})


def put_codec(store: Store, name: str = "codec-a", **parameters: Any) -> None:
    (row,) = example_rows("codec")
    assert isinstance(row, CodecRow)
    write(store, "codec", {"codec": {"rows": [replace(row, codec_id=name)]}}, {"name": name}, **parameters)


def a_corpus(root: Path, lengths: Sequence[int], *, num_cuts: int = 1, mixed: bool = False) -> Store:
    """Recordings of these lengths (samples at 24 kHz), each in cuts, and mixtures of neighbours."""
    store = Store(root)
    _, raws = put_raw(store, [sound(length, seed) for seed, length in enumerate(lengths)])
    cuts = cuts_of(raws, num_cuts)
    put_instructions(store, cuts, mixtures_of(cuts) if mixed else [])
    put_codec(store)
    return store


def tokenize(store: Store, job: InstructionsToTokens, codec: BatchingCodec) -> tuple[Manifest, dict[str, float]]:
    """The version, and the sums of what its units' workers did."""
    GIVEN_CODEC.append(codec)
    before = len(read_runs(store))
    manifest = run_edge(store, job, WorkerWithDouble, num_workers=0)
    total: Counter[str] = Counter()
    for run in read_runs(store)[before:]:
        total.update(json.loads(run.work))
    return manifest, dict(total)
