"""What a job would have to encode, and what that costs by what earlier runs cost. Light: neither torch nor ray.

Row out  {"clips": 1000, "clips_to_encode": 12, "audio_hours": 0.02, "hours": 0.1, "cpu_hours": 0.2, "gpu_hours": 0.0}
"""

import json
from dataclasses import dataclass

from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import RunRow, read_runs

from uniaudio_pipelines.instructions_to_tokens.clips import Clips, Sources
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens, unit_bits
from uniaudio_pipelines.instructions_to_tokens.known import KnownCodes, without
from uniaudio_pipelines.running.hashed import ranges_of

SAMPLE_RATE = 24_000
"""Sample rate of the codes in Hz."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    clips: int
    """Clips that the instructions name."""
    clips_to_encode: int
    audio_hours: float
    """Hours of audio in the clips to encode."""
    hours: float | None
    """Wall clock; None where no run has encoded anything yet."""
    cpu_hours: float | None
    gpu_hours: float | None


def estimate(store: Store, job: InstructionsToTokens) -> Estimate:
    """Reads the ids of clips and of codes, and where clips without codes lie; encodes nothing."""
    plan = job.plan(store)
    version = store.version(plan.kind, plan.plan_id)
    if version is not None:
        # What it has no codes of, it has dropped.
        return _with_cost(store, job, num_clips=version.num_rows, num_missing=0, seconds=0.0)
    codec = next(store.rows(store.version_with("codec", plan.parents["codec"]), CodecRow))
    earlier_codes = KnownCodes(store, job.metadata(plan, codec.codec_id))
    clips = Clips(store, plan, unit_bits(plan), job.folder(store, plan))
    num_clips, num_missing, seconds = 0, 0, 0.0
    for unit in ranges_of(unit_bits(plan)):
        names = clips.of(unit)
        missing = without(names, earlier_codes.of(unit, names))
        num_clips, num_missing = num_clips + len(names), num_missing + len(missing)
        if len(missing):
            seconds += _seconds(clips.sources(unit, missing), missing.to_pylist())
    return _with_cost(store, job, num_clips=num_clips, num_missing=num_missing, seconds=seconds)


def _seconds(sources: Sources, clips: list[str]) -> float:
    seconds = 0.0
    for clip in clips:
        if clip in sources.recipes:
            seconds += sources.recipes[clip].num_samples / SAMPLE_RATE
        elif clip in sources.cuts:
            cut = sources.cuts[clip]
            seconds += cut.num_samples / cut.sample_rate if cut.sample_rate else 0.0
    return seconds


def _with_cost(
    store: Store, job: InstructionsToTokens, *, num_clips: int, num_missing: int, seconds: float
) -> Estimate:
    """The estimate with its cost: the runs that encoded, on the same kind of device, tell the cost for an hour of audio."""
    runs = [run for run in read_runs(store) if run.edge == job.EDGE and (run.gpu_seconds > 0) == (job.num_gpus > 0)]
    encoded = sum(_encoded_seconds(run) for run in runs)
    runs = [run for run in runs if _encoded_seconds(run)]

    def cost(of_runs: float) -> float | None:
        return of_runs / encoded * seconds / 3600 if encoded else None

    return Estimate(
        clips=num_clips,
        clips_to_encode=num_missing,
        audio_hours=seconds / 3600,
        hours=cost(sum(run.seconds for run in runs)),
        cpu_hours=cost(sum(run.cpu_seconds for run in runs)),
        gpu_hours=cost(sum(run.gpu_seconds for run in runs)),
    )


def _encoded_seconds(run: RunRow) -> float:
    return float(json.loads(run.work).get("given_samples", 0.0)) / SAMPLE_RATE
