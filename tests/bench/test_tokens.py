"""What tokens and sequences cost beside the encoder, by the number of clips, and how full and how busy an encoder is kept.

    UNIAUDIO_BENCH_CLIPS=1000,10000,100000 pytest -m bench -s tests/bench/test_tokens.py

Ratios are asserted, never seconds. Each run is a process of its own, so that its peak of memory is its own; the encoder and the decoder
are stubs where growth is measured, and one process works alone.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.running.hashed import HashRange
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.runs import read_runs
from uniaudio_schemas.testing import example_rows

from uniaudio.codec.doubles import BatchingCodec
from uniaudio.codec.encoding import Encoded
from uniaudio.tasks import TASKS

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7_200)]
CLIPS = [int(text) for text in os.environ.get("UNIAUDIO_BENCH_CLIPS", "1000,10000,100000").split(",")]
PACES = [float(text) for text in os.environ.get("UNIAUDIO_BENCH_PACES", "220,440,880").split(",")]
"""Hours of audio an hour."""
ROWS_PER_SHARD = 2_000
RATE = 24_000


class StubWorker(TokenWorker):
    """Finds what a clip is made from, and gives it codes without making it."""

    def _encoded(self, part: HashRange, clips: pa.Array, finished: Any) -> Any:
        if not len(clips):
            return None
        sources = self._clips.sources(part, clips)
        assert len(sources.cuts) == len(sources.raws) == len(clips)
        return Stub(clips.to_pylist())


class Stub:
    dropped = ()
    work: dict[str, float] = {}  # noqa: RUF012

    def __init__(self, clips: list[str]) -> None:
        codes = np.ones((1, 8), np.int16)
        more = {"num_samples": 4_800, "reasoning_codes": codes, "reconstruction_codes": np.repeat(codes, 3, 0)}
        self.made = [Tokens(clip_id=clip, **more) for clip in clips]


def write(
    store: Store, kind: str, shards: dict[str, Callable[[], Any]], parents: dict[str, str], **more: Any
) -> Manifest:
    plan = Plan(
        kind=kind,
        schema_version=newest(kind).version,
        parents=parents,
        parameters={},
        code_version="t",
        units=sorted(shards),
    )
    with store.writer(plan, owner="bench", lease_s=600.0) as writer:
        blobs = [writer.put_blob(blob) for blob in more.get("data", [])]
        for unit, make in shards.items():
            writer.put_shard(unit, make(), blobs=blobs)
        return writer.publish()


def repeated(row: Any, num_rows: int, **columns: list[Any]) -> pa.Table:
    """Rows that differ in these columns alone."""
    table = to_table([row], type(row))
    table = table.take(pa.array(np.zeros(num_rows, np.int64)))
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
    return table


def a_tar(num_samples: int) -> tuple[bytes, dict[str, int]]:
    """Of brown noise, which costs as much to decode as sound does."""
    flac, file = io.BytesIO(), io.BytesIO()
    drawn = np.random.default_rng(0).normal(size=num_samples)
    walk = np.cumsum(drawn - drawn.mean())
    soundfile.write(flac, (0.5 * walk / np.abs(walk).max()).astype(np.float32), RATE, format="FLAC")
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("0.flac")
        info.size = len(flac.getvalue())
        tar.addfile(info, io.BytesIO(flac.getvalue()))
    return file.getvalue(), {"tar_offset": tarfile.BLOCKSIZE, "tar_size": len(flac.getvalue())}


def fill(root: Path, num_clips: int, lengths: np.ndarray | None = None) -> Store:
    """As many raw clips, annotations of each, and as many examples; audio of the `lengths` (samples), the same tone in all."""
    store = Store(root)
    lengths = np.full(num_clips, RATE) if lengths is None else lengths
    data, place = a_tar(int(lengths.max()))
    names = [f"{number:032x}" for number in range(num_clips)]
    numbers = {
        f"c-{first:08d}": range(first, min(first + ROWS_PER_SHARD, num_clips))
        for first in range(0, num_clips, ROWS_PER_SHARD)
    }
    (raw_row,), (cut_row,), (codec_row,) = (example_rows(kind) for kind in ("raw", "annotated", "codec"))
    fields = {"tar": hash_bytes(data), "sample_rate": RATE, "medium": "audio", "mono_channel": None, **place}

    def raws(part: range) -> pa.Table:
        row = type(raw_row)(**{**{n: getattr(raw_row, n) for n in raw_row.__dataclass_fields__}, **fields})
        return repeated(row, len(part), clip_id=[f"raw-{names[n]}" for n in part], num_samples=lengths[part].tolist())

    def cuts(part: range) -> pa.Table:
        ids, of = [names[n] for n in part], [f"raw-{names[n]}" for n in part]
        more = {
            "num_samples": lengths[part].tolist(),
            "first_sample": [0] * len(part),
            "sample_rate": [RATE] * len(part),
        }
        return repeated(cut_row, len(part), clip_id=ids, raw_clip_id=of, **more)

    def examples(part: range) -> list[Any]:
        common = {"corpus": "c", "split": "train"}
        return [TASKS["asr"].instruction(texts={"transcript": "hi"}, clips={"audio": names[n]}, **common) for n in part]

    raw = write(store, "raw", {u: lambda p=p: raws(p) for u, p in numbers.items()}, {}, data=[data])  # type: ignore[misc]
    annotated = write(store, "annotated", {u: lambda p=p: cuts(p) for u, p in numbers.items()}, {"raw": raw.content_id})  # type: ignore[misc]
    parents = {"annotated": annotated.content_id}
    write(store, "instructions", {u: lambda p=p: examples(p) for u, p in numbers.items()}, parents)  # type: ignore[misc]
    write(store, "codec", {"codec": lambda: [codec_row]}, {})
    return store


def measured(root: Path, edge: str) -> dict[str, float]:
    """In a process of its own: seconds of the processor for the plan, to the end of the first unit, for the edge; peak MiB."""
    command = [sys.executable, __file__, str(root), edge]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


EDGES: dict[str, tuple[Any, Any]] = {
    "tokens, no codes there": (InstructionsToTokens(), StubWorker),
    "tokens, all codes there": (InstructionsToTokens(clips_per_unit=4_096), StubWorker),
    "sequences": (TokensToSequences(), SequenceWorker),
}


def run(root: str, edge: str) -> None:
    store, (job, make) = Store(root), EDGES[edge]
    before = time.process_time()
    plan = job.plan(store)
    planned = time.process_time() - before
    first: list[float] = []

    class Timed(make):  # type: ignore[misc, valid-type]
        def process(self, unit: str) -> Any:
            result = super().process(unit)
            first.append(time.process_time() - before)
            return result

    began = time.perf_counter()
    manifest = run_edge(store, job, Timed, num_workers=0)
    found = {
        "plan": planned,
        "first": first[0],
        "edge": time.process_time() - before,
        "wall": time.perf_counter() - began,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "units": len(plan.units),
        "rows": manifest.num_rows,
    }
    sys.stdout.write(json.dumps(found) + "\n")


def test_ten_times_the_clips_cost_ten_times_the_time(tmp_path: Path) -> None:
    found: dict[str, dict[int, dict[str, float]]] = {edge: {} for edge in EDGES}
    for num_clips in CLIPS:
        root = tmp_path / str(num_clips)
        fill(root, num_clips)
        for edge in EDGES:
            one = found[edge][num_clips] = measured(root, edge)
            assert one["rows"] == num_clips
            print(
                f"{edge}: {num_clips} clips in {one['units']:.0f} units: plan {one['plan']:.2f} s, first unit after {one['first']:.2f} s, "
                f"edge {one['edge']:.1f} s of one core ({1e6 * one['edge'] / num_clips:.0f} us a clip), wall {one['wall']:.1f} s, "
                f"peak {one['MiB']:.0f} MiB",
                flush=True,
            )
    for edge, by_size in found.items():
        few, many = by_size[CLIPS[-2]], by_size[CLIPS[-1]]
        growth = (many["edge"] / CLIPS[-1]) / (few["edge"] / CLIPS[-2])
        print(f"{edge}: {growth:.2f} times linear from {CLIPS[-2]} to {CLIPS[-1]}")
        assert growth < 1.5
        assert many["MiB"] < 4 * few["MiB"]


def test_ten_million_clips_are_planned_from_their_manifests(tmp_path: Path) -> None:
    store, num_clips = Store(tmp_path), 10_000_000
    fill(tmp_path, 10)
    annotated, instructions = store.head("annotated"), store.head("instructions")
    assert annotated is not None and instructions is not None
    seconds = {}
    for size in (num_clips // 10, num_clips):
        shards = [
            ShardInfo(
                unit=f"c-{n:08d}",
                sha256=f"{n:064x}",
                num_rows=1_000,
                num_bytes=2_000_000,
                statistics={"audio_s": 9_000.0},
            )
            for n in range(size // 1_000)
        ]
        path = tmp_path / "annotated/versions" / f"{annotated.plan_id}.json"
        path.write_text(Manifest(**{**annotated.__dict__, "shards": shards}).to_json())
        before = time.process_time()
        plan = InstructionsToTokens().plan(Store(tmp_path))
        seconds[size] = time.process_time() - before
        print(f"{size} clips: {len(plan.units)} units planned in {seconds[size]:.2f} s of one core")
    assert seconds[num_clips] < 25 * seconds[num_clips // 10]  # of 16 times the units


class PacedCodec(BatchingCodec):
    """A device that encodes `pace` hours an hour, while the processors are free; its codes are all one."""

    pace = 220.0

    def encode_batch(self, waveform_BN: torch.Tensor) -> list[Encoded]:
        num_windows, num_samples = waveform_BN.shape
        time.sleep(num_windows * num_samples / RATE / self.pace)
        streams = (torch.ones(num_windows, num_samples // hop, 8, dtype=torch.int64) for hop in (4_800, 1_920))
        return [Encoded(*codes) for codes in zip(*streams, strict=True)]


class DeviceWorker(TokenWorker):
    def _loaded_codec(self) -> Any:
        self._codec = self._codec or BatchingCodec()
        return self._codec


class PacedWorker(TokenWorker):
    def _loaded_codec(self) -> Any:
        self._codec = self._codec or PacedCodec()
        return self._codec


class CpuWorker(TokenWorker):
    def _loaded_codec(self) -> Any:
        from uniaudio.testing import tiny_codec

        return tiny_codec()


def tokenized(store: Store, make: Any) -> tuple[dict[str, float], float]:
    """What the job says of its work, and the seconds of the processors that it took."""
    before = time.process_time()
    run_edge(store, InstructionsToTokens(), make, num_workers=0)
    work: dict[str, float] = json.loads(read_runs(store)[-1].work)
    return work, time.process_time() - before


def test_a_device_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 220 hours an hour, which is asked for, and at faster paces. Seconds of the processors an hour of audio say where their limit is."""
    lengths = np.random.default_rng(0).integers(RATE, 30 * RATE, 200)
    busy = {}
    for pace in PACES:
        monkeypatch.setattr(PacedCodec, "pace", pace)
        work, cpu_s = tokenized(fill(tmp_path / str(pace), len(lengths), lengths), PacedWorker)
        hours = work["given_samples"] / RATE / 3600
        busy[pace] = work["encode_seconds"] / work["wall_seconds"]
        print(
            f"{pace:.0f} hours an hour: busy {busy[pace]:.1%}, {cpu_s / hours:.2f} s of the processors an hour of audio: "
            f"{3600 * hours / cpu_s:,.0f} hours an hour and processor"
        )
    assert busy[PACES[0]] >= 0.9


def test_the_encoder_is_kept_full_and_busy_over_a_thousand_clips(tmp_path: Path) -> None:
    """Through the job. A device is full: the padding is its buckets' last batches. A processor is busy: the decoder works beside it."""
    lengths = np.random.default_rng(0).integers(RATE, 30 * RATE, 1_000)
    shares = {}
    for name, make, chosen in (("device", DeviceWorker, lengths), ("cpu", CpuWorker, lengths[:60])):
        work, _ = tokenized(fill(tmp_path / name, len(chosen), chosen), make)
        ratio = work["encoded_samples"] / work["given_samples"]
        shares[name] = ratio, work["encode_seconds"] / work["wall_seconds"]
        print(
            f"{name}: {ratio:.3f} of the audio given is encoded, the encoder is busy {shares[name][1]:.0%} of the time"
        )
    assert shares["device"][0] <= 1.15
    assert shares["cpu"][0] <= 1.05 and shares["cpu"][1] >= 0.9


if __name__ == "__main__":
    run(*sys.argv[1:])
