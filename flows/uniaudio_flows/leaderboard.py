"""All versions of scores in a store side by side: a metric a line, a checkpoint a column; what is best is bold.

Reads    scores, checkpoint, the runs log

    frame(store)    benchmark, domain, metric, value, beside_baseline, higher_is_better, checkpoint, plan_id, cpu_seconds, is_best

Of codecs the newest version of each: a system a line, a metric and domain a column, a table a benchmark.

    codec_frame(store)    benchmark, domain, metric, system, bits_per_s, value, low, high, num_samples, baseline_value, codec
"""

from statistics import mean
from typing import Any

import polars as pl
from uniaudio_schemas.kinds.codec_scores import CodecScore
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import read_runs

from uniaudio_flows.comparison import stage_of
from uniaudio_flows.comparison_forms import number, pipe_table

_KEY = ["benchmark", "domain", "metric"]
_SCHEMA = {
    **dict.fromkeys(_KEY, pl.String),
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "num_samples": pl.Int64,
    "baseline_value": pl.Float64,
    "beside_baseline": pl.String,
    "higher_is_better": pl.Boolean,
    "checkpoint": pl.String,
    "plan_id": pl.String,
    "cpu_seconds": pl.Float64,
}


def frame(store: Store) -> pl.DataFrame:
    """One row a version and metric, by name; `checkpoint` is its stage and the start of its id."""
    costs = {run.plan_id: run.cpu_seconds for run in read_runs(store) if run.rows}
    rows = []
    for manifest in store.versions("scores"):
        stage = stage_of(store, manifest)
        for score in store.rows(manifest, Score):
            shared = {name: getattr(score, name) for name in _SCHEMA if hasattr(score, name)}
            name = f"{stage} {score.checkpoint_id[:8]}".strip()
            plan = manifest.plan_id
            rows.append(shared | {"checkpoint": name, "plan_id": plan, "cpu_seconds": costs.get(plan)})
    scores = pl.DataFrame(rows, schema=_SCHEMA)
    best = pl.when(pl.col("higher_is_better")).then(pl.col("value").max()).otherwise(pl.col("value").min()).over(_KEY)
    return scores.with_columns((pl.col("value") == best).alias("is_best")).sort([*_KEY, "checkpoint", "plan_id"])


def board(scores: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and lines: versions as columns, named by checkpoint and plan; a dagger behind what is worse than its trivial baseline."""
    versions = scores.select("checkpoint", "plan_id", "cpu_seconds").unique().sort("checkpoint", "plan_id").rows()
    lines = []
    for key, group in scores.group_by(_KEY, maintain_order=True):
        cells = {row["plan_id"]: _cell(row, is_alone=group.height == 1) for row in group.to_dicts()}
        baselines = group["baseline_value"].drop_nulls()
        baseline = number(baselines[0]) if len(baselines) else ""
        lines.append([*map(str, key), *(cells.get(plan, "") for _, plan, _ in versions), baseline])
    lines.append(["cost", "", "CPU-s", *(number(cost) for _, _, cost in versions), ""])
    titles = [f"{checkpoint} ({plan[:6]})" for checkpoint, plan, _ in versions]
    return [*_KEY, *titles, "trivial baseline"], lines


def markdown(scores: pl.DataFrame) -> str:
    """The board, and what its marks mean."""
    several = scores.group_by(_KEY).len().filter(pl.col("len") > 1).height if scores.height else 0
    note = f"{scores['plan_id'].n_unique()} versions, {several} metrics of more than one. Bold: best. †: worse than the trivial baseline."
    return "\n".join([*pipe_table(*board(scores)), "", note]) + "\n"


def _cell(row: dict[str, Any], *, is_alone: bool) -> str:
    value = number(row["value"]) + "†" * (row["beside_baseline"] == "worse")
    return f"**{value}**" if row["is_best"] and not is_alone else value


_CODEC_SCHEMA = {
    **dict.fromkeys([*_KEY, "system"], pl.String),
    "bits_per_s": pl.Float64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "num_samples": pl.Int64,
    "baseline_value": pl.Float64,
    "higher_is_better": pl.Boolean,
    "codec": pl.String,
}


def codec_frame(store: Store) -> pl.DataFrame:
    """One row a system and metric of the newest version of each codec, in the order of their names."""
    made_at = {run.plan_id: run.started for run in read_runs(store)}
    newest: dict[str, list[CodecScore]] = {}
    for manifest in sorted(
        store.versions("codec_scores"), key=lambda one: (made_at.get(one.plan_id, 0.0), one.plan_id)
    ):
        rows = list(store.rows(manifest, CodecScore))
        if rows:
            newest[rows[0].codec_id] = rows
    score_rows = [
        {name: getattr(row, name) for name in _CODEC_SCHEMA if name != "codec"} | {"codec": row.codec_id[:8]}
        for rows in newest.values()
        for row in rows
    ]
    return pl.DataFrame(score_rows, schema=_CODEC_SCHEMA).sort(["benchmark", "codec", "system", "domain", "metric"])


def codec_markdown(scores: pl.DataFrame) -> str:
    """A table a benchmark; a dagger behind what is worse than its trivial baseline."""
    lines = []
    for (benchmark,), group in scores.group_by(["benchmark"], maintain_order=True):
        columns = group.select("domain", "metric").unique().sort("domain", "metric").rows()
        cells = []
        for (codec, system), of_system in group.group_by(["codec", "system"], maintain_order=True):
            values = {(row["domain"], row["metric"]): _codec_cell(row) for row in of_system.to_dicts()}
            rates = of_system["bits_per_s"].drop_nulls().to_list()
            rate = f"{mean(rates):.0f}" if rates else ""
            cells.append([str(codec), str(system), rate, *(values.get(column, "") for column in columns)])
        titles = [f"{domain} {metric}" for domain, metric in columns]
        lines += [f"## {benchmark}", "", *pipe_table(["codec", "system", "bit/s", *titles], cells), ""]
    return "\n".join(lines or ["no codec is scored: `prefect deployment run evaluate-codec/local`"]) + "\n"


def _codec_cell(row: dict[str, Any]) -> str:
    base = row["baseline_value"]
    is_worse = base is not None and (row["value"] < base if row["higher_is_better"] else row["value"] > base)
    return number(row["value"]) + "†" * is_worse
