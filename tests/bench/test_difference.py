"""How `uniaudio diff tokens A B` grows with the clips: time and memory a clip, at 10,000 and 100,000 clips."""

import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.fingerprint import hash_bytes, short
from uniaudio_schemas.history.difference import difference
from uniaudio_schemas.kinds.arrays import CODES_TYPE
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

FRAMES = (25, 63)
"""Of a clip of five seconds."""
SHARD_CLIPS = 8192


def publish(store: Store, num_clips: int, changed_share: float) -> Manifest:
    """Random codes; of `changed_share` of the clips every code is another one."""
    units = [f"clips-{first:09d}" for first in range(0, num_clips, SHARD_CLIPS)]
    plan = Plan(
        kind="tokens",
        schema_version=1,
        parents={},
        parameters={"changed": changed_share},
        code_version="1",
        units=units,
    )
    with store.writer(plan, owner="bench") as writer:
        for number, unit in enumerate(units):
            writer.put_shard(unit, _table(number, min(SHARD_CLIPS, num_clips - number * SHARD_CLIPS), changed_share))
        return writer.publish()


def _table(number: int, num_clips: int, changed_share: float) -> pa.Table:
    draw = np.random.default_rng(number)
    ids = sorted(short(hash_bytes(f"{number} {index}".encode())) for index in range(num_clips))
    columns = [pa.array(ids), pa.array([120_000] * num_clips, pa.int64())]
    for frames in FRAMES:
        codes = draw.integers(0, 64, (num_clips, frames * 8), dtype=np.int16)
        codes[: int(num_clips * changed_share)] += 1
        items = pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), type=CODES_TYPE.value_type)
        offsets = pa.array(np.arange(num_clips + 1, dtype=np.int32) * frames)
        columns.append(pa.ListArray.from_arrays(offsets, items, type=CODES_TYPE))
    return pa.Table.from_arrays(columns, schema=newest("tokens").arrow)


def test_the_difference_of_versions_grows_with_the_clips_alone(tmp_path: Path) -> None:
    for num_clips in (10_000, 100_000):
        store = Store(tmp_path / str(num_clips))
        first, second = publish(store, num_clips, 0.0), publish(store, num_clips, 0.01)
        begin, cpu = time.monotonic(), time.process_time()
        answer = difference(store, first, second)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"\n{num_clips} clips: {time.monotonic() - begin:.2f} s, {time.process_time() - cpu:.2f} s of CPU, peak {peak:.0f} MiB, "
            f"{answer['codes']['changed']} changed"
        )
        assert answer["codes"]["changed"] == len(answer["rows"]["changed"]) > 0
