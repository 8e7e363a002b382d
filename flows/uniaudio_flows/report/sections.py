"""Each section of the report as HTML, from the store alone."""

import base64
import html
from collections import defaultdict
from typing import TypeVar

from uniaudio_schemas.checkpoint import Checkpoint
from uniaudio_schemas.codec import CodecRow, Metric
from uniaudio_schemas.query import scan
from uniaudio_schemas.runs import scan_runs
from uniaudio_schemas.scores import Score
from uniaudio_schemas.store import Store

from uniaudio_flows.report.svg import Curve, bar_chart, line_chart
from uniaudio_flows.report.table import table

CODEC_RATE = 24_000
KINDS = ("raw", "annotated", "codec", "instructions", "tokens", "sequences", "checkpoint", "scores")
STAGES = ("text_warmup", "stage1", "stage2", "stage3", "stage4")

Row = TypeVar("Row")


def data_flow(store: Store) -> str:
    """The kinds as boxes, with rows, hours and version."""
    boxes = {kind: _box(store, kind) for kind in KINDS}
    upper = " <span class=arrow>→</span> ".join(
        boxes[kind] for kind in ("raw", "annotated", "instructions", "tokens", "sequences", "checkpoint", "scores")
    )
    note = "<p>The codec is trained on <em>annotated</em> and turns the clips of <em>instructions</em> into <em>tokens</em>.</p>"
    return f"<section><h2>Data flow</h2><div class=flow>{upper}</div>{note}<div class=flow>{boxes['codec']}</div>{_domains(store)}</section>"


def _box(store: Store, kind: str) -> str:
    manifest = store.head(kind)
    if manifest is None:
        return f"<div class='box empty'><b>{kind}</b><span>not made yet</span></div>"
    num_versions = len(store.refs(kind)) - 1 if kind == "checkpoint" else 0
    rows = f"{num_versions} stages" if num_versions else f"{manifest.num_rows:,} rows"
    audio_s = manifest.statistics.get("audio_s", 0.0)
    hours = f"<span>{audio_s / 3600:.3f} h</span>" if audio_s else ""
    return f"<div class=box><b>{kind}</b><span>{rows}</span>{hours}<code>{manifest.plan_id[:8]}</code></div>"


def _domains(store: Store) -> str:
    import polars as pl

    if store.head("annotated") is None:
        return ""
    seconds = pl.col("num_samples") / pl.col("sample_rate").clip(lower_bound=1)
    frame = (
        scan(store, "annotated")
        .group_by("domain", "split")
        .agg(pl.len().alias("rows"), seconds.sum().alias("seconds"))
        .sort("domain", "split")
        .collect()
    )
    return table(
        ("domain", "split", "clips", "minutes"),
        [(r["domain"], r["split"], r["rows"], r["seconds"] / 60) for r in frame.to_dicts()],
    )


def dropped(store: Store) -> str:
    """Dropped rows of every kind by reason."""
    rows = []
    for kind in KINDS:
        manifest = store.head(kind)
        if manifest is not None:
            rows += [(kind, reason, count) for reason, count in manifest.dropped.items()]
    body = table(("kind", "reason", "rows"), rows) if rows else "<p>No row was dropped.</p>"
    return f"<section><h2>Dropped, by reason</h2>{body}</section>"


def curves(store: Store) -> str:
    """Loss curves of the codec's phases and of the model's stages."""
    charts = []
    codec = _first(store, "codec", CodecRow)
    if codec is not None:
        charts += _charts("codec", codec.metrics)
    for stage in STAGES:
        row = _first(store, "checkpoint", Checkpoint, stage)
        if row is not None:
            charts += _charts("model", row.metrics)
    body = "".join(charts) or "<p>Nothing is trained yet.</p>"
    return f"<section><h2>Training</h2><div class=charts>{body}</div>{_held_out(store)}</section>"


def _charts(what: str, metrics: list[Metric]) -> list[str]:
    by_phase: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for metric in metrics:
        if "loss" in metric.name:
            by_phase[metric.phase][metric.name].append((metric.step, metric.value))
    return [
        line_chart(f"{what}, {phase}", [Curve(name, sorted(points)) for name, points in names.items()][:6], "loss")
        for phase, names in by_phase.items()
    ]


def _held_out(store: Store) -> str:
    rows = []
    for stage in STAGES:
        row = _first(store, "checkpoint", Checkpoint, stage)
        rows += [
            (stage, entry.task, entry.num_sequences, entry.before, entry.after, entry.after - entry.before)
            for entry in (row.held_out if row else [])
        ]
    if not rows:
        return ""
    return "<h3>Held-out loss before and after each stage</h3>" + table(
        ("stage", "task", "sequences", "before", "after", "change"), rows
    )


def listening(store: Store) -> str:
    """Pictures and sounds that the scores carry."""
    manifest = store.head("scores")
    if manifest is None:
        return ""
    figures: dict[str, list[str]] = defaultdict(list)  # title -> a picture and the sound it shows
    for score in store.rows(manifest, Score):
        for medium in score.media:
            data = base64.b64encode(store.open_blob(medium.blob).read_bytes()).decode()
            source = f"data:{medium.mime};base64,{data}"
            is_image = medium.mime.startswith("image/")
            element = f"<img src='{source}' alt=''>" if is_image else f"<audio controls src='{source}'></audio>"
            figures[medium.title].append(element)
    parts = [
        f"<figure><figcaption>{html.escape(title)}</figcaption>{''.join(shown)}</figure>"
        for title, shown in figures.items()
    ]
    return f"<section><h2>Listen and look</h2><div class=media>{''.join(parts)}</div></section>" if parts else ""


def tokens(store: Store) -> str:
    """What Polars finds in the token shards."""
    import polars as pl

    if store.head("tokens") is None:
        return ""
    frame = scan(store, "tokens").collect()
    rows = []
    for column in ("reasoning_codes", "reconstruction_codes"):
        frames = frame.select(pl.col(column).explode()).drop_nulls()
        for codebook in range(8):
            counts = frames.select(pl.col(column).arr.get(codebook).alias("code"))["code"].value_counts()["count"]
            share = counts / counts.sum()
            perplexity = float((-(share * share.log()).sum()).__float__())
            rows.append(
                (column.removesuffix("_codes"), codebook, frames.height, counts.len(), 2.718281828459045**perplexity)
            )
    seconds = float(frame["num_samples"].sum()) / CODEC_RATE
    head = f"<p>{frame.height:,} clips, {seconds / 60:.1f} minutes, {rows[0][2] * 8 + rows[8][2] * 8:,} codes.</p>"
    return f"<section><h2>Tokens</h2>{head}{table(('tokens', 'codebook', 'frames', 'codes used', 'perplexity'), rows)}</section>"


def scores(store: Store) -> str:
    """The scores table, a trivial baseline beside each."""
    manifest = store.head("scores")
    if manifest is None:
        return ""
    rows = []
    for score in sorted(store.rows(manifest, Score), key=lambda row: (row.benchmark, row.domain, row.metric)):
        interval = f"{score.low:.4g} … {score.high:.4g}" if score.low is not None and score.high is not None else "–"
        baseline = f"{score.baseline_value:.4g} ({score.baseline})" if score.baseline_value is not None else "–"
        better = "higher" if score.higher_is_better else "lower"
        rows.append(
            (score.benchmark, score.domain, score.metric, score.value, interval, score.num_samples, baseline, better)
        )
    header = ("benchmark", "domain", "metric", "value", "95 % interval", "samples", "trivial baseline", "better is")
    return f"<section><h2>Scores</h2>{table(header, rows)}</section>"


def cost(store: Store) -> str:
    """What each job cost, from the runs log."""
    frame = scan_runs(store).collect()
    if frame.is_empty():
        return ""
    rows = [
        (
            r["edge"],
            r["rows"],
            r["seconds"],
            r["cpu_seconds"],
            r["peak_memory_bytes"] / 2**20,
            r["hours"],
            r["attempts"],
        )
        for r in frame.to_dicts()
    ]
    header = ("job", "rows", "seconds", "CPU-seconds", "peak MiB", "hours of audio", "attempts")
    bars = bar_chart("Wall clock", [(row[0], float(row[2])) for row in rows], "s")
    return f"<section><h2>Cost</h2>{bars}{table(header, rows)}</section>"


def _first(store: Store, kind: str, cls: type[Row], ref: str = "latest") -> Row | None:
    manifest = store.head(kind, ref)
    return None if manifest is None else next(iter(store.rows(manifest, cls)), None)
