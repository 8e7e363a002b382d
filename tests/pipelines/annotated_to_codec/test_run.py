"""All phases of a codec under Ray Train: the same codec bit for bit, whatever was killed on the way."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.store import Store

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phases import PHASES

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(900)]
NUM_STEPS = 6
JOB: dict[str, Any] = {"phases": list(PHASES), "num_steps": dict.fromkeys(PHASES, NUM_STEPS)}


@pytest.fixture
def annotated(tmp_path: Path) -> Store:
    """A store of sixteen short bells with names."""
    soundfile = pytest.importorskip("soundfile")
    corpus = tmp_path / "source" / "bells"
    corpus.mkdir(parents=True)
    time_s = np.arange(16_000) / 16_000
    lines = []
    for number in range(16):
        soundfile.write(corpus / f"{number}.wav", 0.3 * np.sin(2 * np.pi * (200 + 30 * number) * time_s), 16_000)
        lines.append(f'{{"path": "{number}.wav", "domain": "sound", "given_title": "bell {number}"}}')
    (corpus / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    store = Store(tmp_path / "undisturbed")
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    run(store, RawToAnnotated(annotators=("source_caption",)), num_workers=0)
    return store


def start(store: Store, **fields: Any) -> subprocess.Popen[bytes]:
    """The edge as a process with a Ray of its own; what it prints goes to `log_of(store)`."""
    command = [sys.executable, "-m", "uniaudio_pipelines.annotated_to_codec", "--store", str(store.root)]
    command += ["--job", json.dumps(fields)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("RAY_ADDRESS", None)
    with log_of(store).open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def log_of(store: Store) -> Path:
    return Path(str(store.root)).with_suffix(".log")


def finish(store: Store, process: subprocess.Popen[bytes]) -> CodecRow:
    assert process.wait(timeout=600) == 0, log_of(store).read_text()[-4000:]
    manifest = store.head("codec")
    assert manifest is not None
    store.verify(manifest)
    return next(iter(store.rows(manifest, CodecRow)))


def wait_for_step(store: Store, step: int, process: subprocess.Popen[bytes]) -> int:
    """The worker's process id once it has taken `step` steps of all phases."""
    while process.poll() is None:
        for path in Path(store.root).glob("train/*/progress.json"):
            state = json.loads(path.read_text())
            if state["step"] >= step:
                return int(state["pid"])
        time.sleep(0.02)
    raise AssertionError(f"ended with {process.returncode} before step {step}: {log_of(store).read_text()[-4000:]}")


def test_all_six_phases_with_a_killed_worker_and_a_killed_driver_leave_the_codec_of_an_undisturbed_run(
    annotated: Store, tmp_path: Path
) -> None:
    shutil.copytree(str(annotated.root), tmp_path / "killed")
    killed = Store(tmp_path / "killed")
    expected = finish(annotated, start(annotated, **JOB))
    steps = {phase: {metric.step for metric in expected.metrics if metric.phase == phase} for phase in PHASES}
    assert all(NUM_STEPS in of for of in steps.values()), "a phase was left out"
    assert {"reward", "kl", "code_perplexity_0"} <= {metric.name for metric in expected.metrics}

    process = start(killed, **JOB)
    worker = wait_for_step(killed, 3 * NUM_STEPS, process)
    os.kill(worker, signal.SIGKILL)
    again = wait_for_step(killed, 5 * NUM_STEPS, process)
    assert again != worker, "the killed worker was not replaced"
    process.kill()
    process.wait(timeout=60)
    assert killed.head("codec") is None
    assert finish(killed, start(killed, **JOB)) == expected
    lines = log_of(killed).read_text().splitlines()
    shown = [json.loads(line.removeprefix("PROGRESS ")) for line in lines if line.startswith("PROGRESS ")]
    done = [progress["done"] for progress in shown if progress["unit"] == "steps"]
    # A checkpoint is kept at the end of each phase; the newest may not have been whole yet.
    lost = [best - now for best, now in zip(itertools.accumulate(done, max), done, strict=True)]
    assert max(lost) <= 2 * NUM_STEPS, f"training began again from nothing: {done}"

    codec = ReasoningCodec.load_files(expected.config, killed.open_blob(expected.weights))
    assert codec.fingerprint == expected.codec_id
    assert not list(Path(killed.root).glob("train/*")), "what training kept was not cleaned up"


def test_a_phase_goes_on_from_a_codec_that_was_given(annotated: Store, tmp_path: Path) -> None:
    given = ReasoningCodec.create(CodecConfig.preset("debug"), seed=3)
    given.save(tmp_path / "given")
    row = finish(
        annotated, start(annotated, start=str(tmp_path / "given"), phases=["decoder"], num_steps={"decoder": 3})
    )
    trained = ReasoningCodec.load_files(row.config, annotated.open_blob(row.weights))
    before, after = given.state_dict(), trained.state_dict()
    moved = {name.split(".")[0] for name, tensor in after.items() if not tensor.equal(before[name])}
    assert "flow" in moved and "encoders" not in moved and "reasoning" not in moved


def test_a_driver_that_is_told_to_stop_while_ray_trains_stops(annotated: Store) -> None:
    process = start(annotated, phases=["scalar"], num_steps={"scalar": 100_000})
    wait_for_step(annotated, 3, process)
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert "STOPPED annotated_to_codec" in log_of(annotated).read_text()
    assert annotated.head("codec") is None
