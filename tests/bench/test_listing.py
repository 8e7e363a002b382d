"""What listing and planning a source costs, by its number of files, as ratios in one run.

    UNIAUDIO_BENCH_FILES=10000,100000 make bench

Linear is a ratio of 1. What stays the same whatever the number (imports, opening files) is paid before.
"""

import os
import resource
import time
from pathlib import Path

import pytest
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_schemas.store import Store

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3_600)]
FILES = [int(value) for value in os.environ.get("UNIAUDIO_BENCH_FILES", "10000,100000").split(",")]


def fill(root: Path, num_files: int) -> Path:
    with_labels = ["file_name,transcription,speaker_id\n"]
    for number in range(num_files):
        path = root / f"corp/{number // 1000:04d}/{number:07d}.wav"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"RIFF%08d" % number)
        with_labels.append(f"{number // 1000:04d}/{number:07d}.wav,text number {number},{number % 97}\n")
    (root / "corp/metadata.csv").write_text("".join(with_labels))
    return root


def planned(source: Path, store: Path) -> tuple[float, int]:
    """CPU-seconds of a plan, and its units."""
    started = time.process_time()
    plan = SourceToRaw(source=str(source)).plan(Store(store))
    return time.process_time() - started, len(plan.units)


def test_listing_and_planning_grow_with_the_number_of_files(tmp_path: Path) -> None:
    planned(fill(tmp_path / "warm", 10), tmp_path / "warm-store")
    seconds: dict[int, dict[str, float]] = {}
    for num_files in FILES:
        source, store = fill(tmp_path / str(num_files), num_files), tmp_path / f"store{num_files}"
        first, num_units = planned(source, store)
        again, _ = planned(source, store)
        (source / "corp/0000/0000000b.wav").write_bytes(b"RIFF one more")
        one_more, _ = planned(source, store)
        seconds[num_files] = {"first": first, "again": again, "one more": one_more}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{num_files} files, {num_units} units: "
            + ", ".join(f"{name} {value:.2f} CPU-s" for name, value in seconds[num_files].items())
            + f", peak {peak:.0f} MiB"
        )
    small, large = FILES[0], FILES[-1]
    for name in seconds[small]:
        ratio = seconds[large][name] / seconds[small][name] / (large / small)
        print(f"{name}: {ratio:.2f} times linear from {small} to {large} files")
        assert ratio < 2
