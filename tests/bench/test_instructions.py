"""Building instructions: how time and memory grow from ten thousand annotated rows to a million, on two workers.

    pytest -m bench -s tests/bench/test_instructions.py
    UNIAUDIO_BENCH_ROWS=100000 pytest -m bench -s tests/bench/test_instructions.py

Ratios are asserted, never seconds: neither processor time a row nor memory may rise with the number of rows. The job runs as it does in a
flow, by its entry point, with as many workers as there are processors; memory is the sum of the peaks of driver and workers.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

pytestmark = pytest.mark.bench
FEW = 10_000
MANY = int(os.environ.get("UNIAUDIO_BENCH_ROWS", "1000000"))
ROWS_PER_SHARD = 1_000
SCHEMA = schema_of(Annotated).arrow
WORDS = np.array(
    [
        "the",
        "a",
        "of",
        "to",
        "in",
        "river",
        "stone",
        "light",
        "early",
        "under",
        "never",
        "often",
        "green",
        "seven",
        "house",
        "walk",
        "they",
        "had",
        "been",
    ]
)
SOUNDS = np.array(["bell", "dog", "rain", "engine", "door", "bird", "horn", "water", "wind", "glass"])
CORPORA = (
    ("readers", "speech", 0.45),
    ("one_voice", "speech", 0.2),
    ("noises", "sound", 0.15),
    ("tunes", "music", 0.1),
    ("books", "text", 0.1),
)
"""Name, domain, share of the rows; `one_voice` is a single speaker, however many rows there are."""


def column_of(name: str, values: Any, size: int) -> pa.Array:
    field = SCHEMA.field(name)
    if values is None:
        empty: Any = (
            []
            if pa.types.is_list(field.type)
            else None
            if field.nullable
            else 0
            if pa.types.is_integer(field.type)
            else ""
        )
        values = [empty] * size
    return pa.array(values, field.type)


def a_shard(corpus: str, domain: str, first: int, size: int, rng: np.random.Generator) -> pa.Table:
    numbers = np.arange(first, first + size)
    ids = sorted(rng.bytes(16).hex() for _ in range(size))
    sentences = [" ".join(row) for row in WORDS[rng.integers(0, len(WORDS), (size, 10))]]
    columns: dict[str, Any] = {
        "clip_id": ids, "raw_clip_id": ids, "corpus": [corpus] * size, "path": [f"{corpus}/{name}" for name in ids],
        "domain": [domain] * size, "licence": ["CC0-1.0"] * size,
        "split": np.where(rng.random(size) < 0.02, "val", "train").tolist(),
    }  # fmt: skip
    if domain == "text":
        columns["text"] = [f"{sentence}." for sentence in sentences]
    else:
        columns |= {
            "num_samples": rng.integers(24_000, 150_000, size),
            "sample_rate": [16_000] * size,
            "channels": [1] * size,
        }
    if domain == "speech":
        starts = [
            [
                {"word": word, "first_sample": 1_600 * index, "num_samples": 1_500, "confidence": 0.9}
                for index, word in enumerate(row.split())
            ]
            for row in sentences
        ]
        columns |= {
            "language": ["en"] * size, "transcript": sentences, "given_text": sentences, "given_words": starts,
            "speaker": ["solo"] * size if corpus == "one_voice" else [f"r{number // 100}" for number in numbers],
            "style": ["A calm low voice."] * size, "evidence": [["pitch_hz=121.0"]] * size,
        }  # fmt: skip
    if domain in ("sound", "music"):
        tags = SOUNDS[rng.integers(0, len(SOUNDS), size)]
        columns |= {"tags": [[tag] for tag in tags], "caption": [f"A {tag} is heard." for tag in tags]}
    return pa.table([column_of(name, columns.get(name), size) for name in SCHEMA.names], schema=SCHEMA)


def shards_of(num_rows: int) -> Iterator[tuple[str, str, str, int, int]]:
    for corpus, domain, share in CORPORA:
        wanted = int(num_rows * share)
        for number, first in enumerate(range(0, wanted, ROWS_PER_SHARD)):
            yield f"{corpus}-{number:05d}", corpus, domain, first, min(ROWS_PER_SHARD, wanted - first)


def write_annotated(store: Store, num_rows: int) -> None:
    rng = np.random.default_rng(0)
    units = [unit for unit, *_ in shards_of(num_rows)]
    plan = Plan(
        kind="annotated", schema_version=3, parents={}, parameters={"rows": num_rows}, code_version="1", units=units
    )
    with store.writer(plan, owner="bench", lease_s=600.0) as writer:
        for unit, corpus, domain, first, size in shards_of(num_rows):
            writer.put_shard(unit, a_shard(corpus, domain, first, size, rng))
        writer.publish()


def built(root: Path, num_rows: int) -> dict[str, Any]:
    """The summary of the edge on so many rows."""
    write_annotated(Store(root), num_rows)
    command = [sys.executable, "-m", "uniaudio_pipelines.annotated_to_instructions", "--store", str(root)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in output.splitlines() if line.startswith("SUMMARY ")]
    summary: dict[str, Any] = json.loads(line.removeprefix("SUMMARY "))
    print(
        f"{num_rows} annotated rows: {summary['rows']} examples of {summary['hours']:.0f} h in {summary['seconds']:.0f} s, "
        f"{summary['cpu_seconds']:.0f} s of processors ({1e6 * summary['cpu_seconds'] / num_rows:.0f} us a row), "
        f"{summary['peak_memory_bytes'] / 2**20:.0f} MiB at most, {summary['shards']} shards"
    )
    return summary


@pytest.mark.timeout(7_200)
def test_a_hundred_times_the_rows_cost_a_hundred_times_the_time_and_no_more_memory(tmp_path: Path) -> None:
    few, many = built(tmp_path / "few", FEW), built(tmp_path / "many", MANY)
    growth = (many["cpu_seconds"] / MANY) / (few["cpu_seconds"] / FEW)
    memory = many["peak_memory_bytes"] / few["peak_memory_bytes"]
    print(f"processor time a row: {growth:.2f} times, memory: {memory:.2f} times")
    assert growth < 1.5
    assert memory < 4.0, "the driver keeps 64 bytes of each example, the workers nothing"
