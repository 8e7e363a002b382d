"""What was made of the data: the kinds and their sizes, tokens, losses, scores, cost.

Reads    every kind's manifest, tokens, codec, checkpoint, scores, runs
"""

import base64
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

import polars as pl
from uniaudio_schemas.durations import spoken
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.codec import CodecRow, Metric
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import read_runs

from uniaudio_flows.leaderboard import board, frame
from uniaudio_flows.report.charts import Chart, line_chart
from uniaudio_flows.report.table import Table, table

CODEC_RATE = 24_000
NUM_CODEBOOKS = 8
KINDS = ("raw", "annotated", "codec", "instructions", "tokens", "sequences", "checkpoint", "scores")
STAGES = ("text_warmup", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6")
_MOST_CURVES = 6

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Box:
    kind: str
    size: str
    """Empty where there is no version."""
    hours: str
    plan: str


@dataclass(frozen=True, slots=True)
class Figure:
    title: str
    media: list[tuple[str, str]]
    """(media type, data URI)."""


def boxes(store: Store) -> dict[str, Box]:
    """Kind -> rows, hours and version."""
    return {kind: _box(store, kind) for kind in KINDS}


def _box(store: Store, kind: str) -> Box:
    manifest = store.head(kind)
    if manifest is None:
        return Box(kind, "", "", "")
    num_versions = len(store.refs(kind)) - 1 if kind == "checkpoint" else 0
    rows = f"{num_versions} stages" if num_versions else f"{manifest.num_rows:,} rows"
    audio_s = manifest.statistics.get("audio_s", 0.0)
    return Box(kind, rows, spoken(audio_s) if audio_s else "", manifest.plan_id[:8])


def curves(store: Store) -> list[Chart]:
    """Loss curves of the codec's phases and of the model's stages."""
    codec = _first(store, "codec", CodecRow)
    charts = _charts("codec", codec.metrics) if codec else []
    for row in _stages(store):
        charts += _charts("model", row.metrics)
    return charts


def _charts(what: str, metrics: list[Metric]) -> list[Chart]:
    by_phase: dict[str, dict[str, list[Metric]]] = defaultdict(lambda: defaultdict(list))
    for metric in metrics:
        if "loss" in metric.name and math.isfinite(metric.value):
            by_phase[metric.phase][metric.name].append(metric)
    charts = []
    for phase, names in by_phase.items():
        curves = list(names.items())[:_MOST_CURVES]
        points = [{"name": name, "x": one.step, "y": one.value} for name, curve in curves for one in curve]
        charts.append(line_chart(f"{what}, {phase}", points, "step", "loss"))
    return charts


def _stages(store: Store) -> list[Checkpoint]:
    """Checkpoints of the stages that were trained, in their order."""
    return [row for stage in STAGES if (row := _first(store, "checkpoint", Checkpoint, stage)) is not None]


def held_out(store: Store) -> Table:
    """What is not better than chance is marked."""
    rows = [
        (
            row.stage,
            entry.task,
            entry.num_sequences,
            entry.before,
            entry.after,
            entry.unigram,
            entry.uniform,
            f"{entry.beside_chance} †" if entry.beside_chance in ("equal", "worse") else entry.beside_chance,
        )
        for row in _stages(store)
        for entry in row.held_out
    ]
    header = ("stage", "task", "sequences", "before", "after", "unigram", "uniform", "beside chance")
    return table("Held-out loss of each stage beside chance (nats a token, codes over legal codes)", header, rows)


def beside_chance(store: Store) -> str:
    """`Held-out loss is better than chance after stage1 in 9 of 12 tasks, …`; empty where no stage knows its chance."""
    counts = [(row.stage, *row.better_than_chance) for row in _stages(store)]
    told = ", ".join(f"after {stage} in {better} of {known} tasks" for stage, better, known in counts if known)
    return f"Held-out loss is better than chance {told}." if told else ""


def listening(store: Store) -> list[Figure]:
    """Pictures and sounds that the scores carry, those of one title together."""
    figures: dict[str, list[tuple[str, str]]] = defaultdict(list)
    manifest = store.head("scores")
    for score in store.rows(manifest, Score) if manifest else ():
        for medium in score.media:
            data = base64.b64encode(store.open_blob(medium.blob).read_bytes()).decode()
            figures[medium.title].append((medium.mime, f"data:{medium.mime};base64,{data}"))
    return [Figure(title, media) for title, media in figures.items()]


def tokens(store: Store) -> tuple[str, Table]:
    """How much of each codebook is used; the counting never holds more than one batch of codes."""
    header = ("tokens", "codebook", "frames", "codes used", "perplexity")
    if store.head("tokens") is None:
        return "", table("Codebooks", header, ())
    frame = scan(store, "tokens")
    rows = []
    for column in ("reasoning_codes", "reconstruction_codes"):
        frames = frame.select(pl.col(column).explode()).drop_nulls()
        for codebook in range(NUM_CODEBOOKS):
            code = pl.col(column).arr.get(codebook).alias("code")
            counts = frames.select(code).group_by("code").len().collect(engine="streaming")["len"].to_numpy()
            share = counts / max(counts.sum(), 1)
            perplexity = math.exp(-float((share * pl.Series(share).log().to_numpy()).sum()))
            rows.append((column.removesuffix("_codes"), codebook, int(counts.sum()), len(counts), perplexity))
    clips, samples = frame.select(pl.len(), pl.col("num_samples").sum()).collect(engine="streaming").row(0)
    num_codes = sum(row[2] for row in rows)
    note = f"{clips:,} clips, {samples / CODEC_RATE / 60:,.1f} minutes, {num_codes:,} codes."
    return note, table("Codebooks", header, rows)


def scores(store: Store) -> Table:
    """A trivial baseline beside each score."""
    manifest = store.head("scores")
    score_rows = list(store.rows(manifest, Score)) if manifest else []
    rows = [
        (
            score.benchmark,
            score.domain,
            score.metric,
            score.value,
            f"{score.low:.4g} … {score.high:.4g}" if score.low is not None and score.high is not None else "",
            score.num_samples,
            f"{score.baseline_value:.4g} ({score.baseline})" if score.baseline_value is not None else "",
            "higher" if score.higher_is_better else "lower",
            score.beside_baseline,
        )
        for score in sorted(score_rows, key=lambda row: (row.benchmark, row.domain, row.metric))
    ]
    header = (
        "benchmark",
        "domain",
        "metric",
        "value",
        "95 % interval",
        "samples",
        "trivial baseline",
        "better is",
        "is",
    )
    return table("Scores", header, rows)


def leaderboard(store: Store) -> Table:
    """All versions side by side; none where there is only one."""
    scores_frame = frame(store)
    header, rows = board(scores_frame) if scores_frame["plan_id"].n_unique() > 1 else ([], [])
    return table(
        "All versions of scores (best between asterisks, worse than the trivial baseline with †)", header, rows
    )


def cost(store: Store) -> Table:
    """What each job cost, from the runs log."""
    rows = [
        (one.edge, one.rows, one.seconds, one.cpu_seconds, one.peak_memory_bytes / 2**20, one.hours, one.attempts)
        for one in read_runs(store)
    ]
    header = ("job", "rows", "wall clock (s)", "CPU (s)", "peak memory (MiB)", "audio (h)", "attempts")
    return table("Cost of each job", header, rows)


def _first(store: Store, kind: str, cls: type[Row], ref: str = "latest") -> Row | None:
    manifest = store.head(kind, ref)
    return None if manifest is None else next(iter(store.rows(manifest, cls)), None)
