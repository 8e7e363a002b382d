"""From files to scores with the store on an S3 server: every edge, both trainings, and what is asked of the store."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.worker import ScoreWorker
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Store

from tests.smoke.test_whole_arc import lay_out_source

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(1800)]
CODEC = {"phases": ["reasoning", "decoder"], "num_steps": {"reasoning": 8, "decoder": 8}}
STAGES = {"stages": ["text_warmup"], "num_steps": 70}


@pytest.fixture
def remote(s3: str) -> Store:
    return Store(s3)


def train(store: Store, edge: str, fields: dict[str, Any], log: Path, machine: str) -> subprocess.Popen[bytes]:
    """An edge as a process with a Ray of its own, as on a machine that never saw this store."""
    command = [
        sys.executable,
        "-m",
        f"uniaudio_pipelines.{edge}",
        "--store",
        str(store.root),
        "--job",
        json.dumps(fields),
    ]
    path = os.pathsep.join(part for part in sys.path if part)
    variables = {**os.environ, "PYTHONPATH": path, "UNIAUDIO_CACHE": f"{os.environ['UNIAUDIO_CACHE']}-{machine}"}
    variables.pop("RAY_ADDRESS", None)
    with log.open("ab") as file:
        return subprocess.Popen(command, env=variables, stdout=file, stderr=subprocess.STDOUT)


def kill_at_step(store: Store, step: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """The driver, once a worker has taken so many steps and a checkpoint of the run is there."""
    while process.poll() is None:
        entries = [entry.path for entry in store.files.entries("train")]
        for path in entries:
            if path.endswith("progress.json") and json.loads(store.files.read(path) or b"{}").get("step", 0) >= step:
                process.send_signal(signal.SIGKILL)
                process.wait(60)
                return
        time.sleep(0.1)
    raise AssertionError(f"ended before step {step}: {log.read_text()[-3000:]}")


def train_in_two_halves(store: Store, edge: str, fields: dict[str, Any], log: Path, step: int) -> None:
    """Killed once `step` steps are done, and ended on another machine, which goes on from what the first one kept."""
    kill_at_step(store, step, train(store, edge, fields, log, "first"), log)
    first = len(log.read_bytes())
    process = train(store, edge, fields, log, "second")
    assert process.wait(900) == 0, log.read_text()[-4000:]
    lines = log.read_bytes()[first:].decode().splitlines()
    progress = [json.loads(line.removeprefix("PROGRESS ")) for line in lines if line.startswith("PROGRESS ")]
    shown = [state["done"] for state in progress if state["unit"] == "steps" and state["done"]]
    assert shown[0] > step // 2, f"began again from nothing: {shown}"


def test_files_become_scores_on_s3_and_trainings_go_on_elsewhere(remote: Store, tmp_path: Path) -> None:
    lay_out_source(tmp_path / "source")
    in_process = {"num_workers": 0}
    run_edge(remote, SourceToRaw(source=str(tmp_path / "source")), RawWorker, **in_process)
    run(remote, RawToAnnotated(annotators=("loudness", "source_caption")), num_workers=0)
    train_in_two_halves(remote, "annotated_to_codec", CODEC, tmp_path / "codec.log", 9)
    run_edge(remote, AnnotatedToInstructions(), InstructionWorker, **in_process)
    tokens = run_edge(remote, InstructionsToTokens(), TokenWorker, **in_process)
    sequences = run_edge(remote, TokensToSequences(), SequenceWorker, **in_process)
    train_in_two_halves(remote, "sequences_to_checkpoint", STAGES, tmp_path / "lm.log", 30)
    scores = run_edge(
        remote,
        CheckpointToScores(benchmarks=("perplexity", "held_out_loss"), num_sequences=2),
        ScoreWorker,
        **in_process,
    )
    assert tokens.num_rows == 12 and sequences.num_rows >= 36 and scores.num_rows > 0
    assert run_edge(remote, InstructionsToTokens(), TokenWorker, **in_process) == tokens
    assert not remote.files.entries("train"), "what training kept was not cleaned up"
    for kind in ("raw", "annotated", "codec", "instructions", "tokens", "sequences", "checkpoint", "scores"):
        manifest = remote.head(kind)
        assert manifest is not None
        remote.verify(manifest)
        assert scan(remote, kind).select(pl.len()).collect().item() == manifest.num_rows


def test_what_a_user_asks_of_a_store_is_answered_from_s3(remote: Store, tmp_path: Path) -> None:
    lay_out_source(tmp_path / "source")
    run_edge(remote, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    run(remote, RawToAnnotated(annotators=("loudness", "source_caption")), num_workers=0)
    run_edge(remote, AnnotatedToInstructions(), InstructionWorker, num_workers=0)
    variables = {
        **os.environ,
        "UNIAUDIO_STORE": str(remote.root),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    asked = {
        "show": "instructions",
        "lineage instructions": "bells",
        "diff raw latest latest": "",
        f"report --out {tmp_path / 'report.html'}": "report.html",
        "forget bells/3.wav": "bells/3.wav",
        "forget bells/3.wav --really": "",
        "gc --delete": "",
    }
    for command, told in asked.items():
        done = subprocess.run(
            [sys.executable, "-m", "uniaudio", *command.split()], env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0 and told in done.stdout, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert "secret" not in done.stdout + done.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000
    raw = remote.head("raw")
    assert raw is not None and raw.num_rows == 23 and scan(remote, "raw").select(pl.len()).collect().item() == 23
    remote.verify(raw)
    assert remote.collect() == []
