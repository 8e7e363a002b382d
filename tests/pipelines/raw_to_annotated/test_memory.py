"""How much memory the edges take for long recordings, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("silero_vad")
RATE = 44_100


def write_talk(path: Path, minutes: int) -> None:
    """Stereo: bursts of noise between pauses, written a minute at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(minutes)
    envelope = np.repeat(rng.random(60) > 0.4, RATE).astype(np.float32)[:, None]
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(minutes):
            file.write(0.1 * envelope * rng.standard_normal((60 * RATE, 2)).astype(np.float32))


def peak_memory(folder: Path, minutes: int, domain: str) -> dict[str, int]:
    """Bytes by the kind that an edge makes."""
    write_talk(folder / "source/pod/ep.flac", minutes)
    (folder / "source/pod/metadata.jsonl").write_text(json.dumps({"path": "ep.flac", "domain": domain}))
    jobs: list[tuple[str, dict[str, Any]]] = [
        ("source_to_raw", {"source": str(folder / "source")}),
        ("raw_to_annotated", {"annotators": ["voice_activity", "loudness"]}),
    ]
    found = {}
    for edge, job in jobs:
        command = [sys.executable, "-c", _IN_PROCESS.format(edge=edge), str(folder / "store"), json.dumps(job)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        for line in done.stdout.splitlines():
            if line.startswith("SUMMARY "):
                summary = json.loads(line[8:])
                found[summary["kind"]] = int(summary["peak_memory_bytes"])
    return found


_IN_PROCESS = """
import sys
from uniaudio_schemas.store import Store
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.jobs import job_from_json
store = Store(sys.argv[1])
if "{edge}" == "source_to_raw":
    from uniaudio_pipelines.source_to_raw.job import SourceToRaw
    from uniaudio_pipelines.source_to_raw.worker import RawWorker
    run_edge(store, job_from_json(SourceToRaw, sys.argv[2]), RawWorker, num_workers=0)
else:
    from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
    from uniaudio_pipelines.raw_to_annotated.run import run
    run(store, job_from_json(RawToAnnotated, sys.argv[2]), num_workers=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["unknown", "music"])
def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path, domain: str) -> None:
    short = peak_memory(tmp_path / "short", 5, domain)
    long = peak_memory(tmp_path / "long", 40, domain)
    print({kind: (short[kind] >> 20, long[kind] >> 20) for kind in short})
    for kind in short:
        assert long[kind] < short[kind] + 100 * 2**20, f"{kind}: {short[kind] >> 20} MiB and {long[kind] >> 20} MiB"
