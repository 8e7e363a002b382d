"""A comparison, and one version of scores, in the forms that papers and other tools take: Markdown, LaTeX, JSON, and the JSON of lmms-eval."""

import json
import re
from collections.abc import Sequence
from typing import Any

from uniaudio_flows.comparison import LEVEL, SOUNDS, Comparison, Row, Side

_HEADER = (
    "benchmark",
    "domain",
    "metric",
    "first",
    "second",
    "difference",
    "95 % interval",
    "p",
    "p (Holm)",
    "wins",
    "losses",
    "n",
)
_WORSE = "†"
"""Mark of a value that is worse than its trivial baseline."""
_LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "†": r"$^\dagger$", "−": "$-$"})


def markdown(found: Comparison, *, sounds: str = "") -> str:
    """The table, what it means, and the examples on which the two are farthest apart; `sounds`: the folder, seen from the page, that holds
    their sounds as `<sha256>.flac`."""
    lines = [f"# {found.first.name} against {found.second.name}", ""]
    lines += [_about(side, title) for title, side in (("First", found.first), ("Second", found.second))]
    lines += ["", *pipe_table(_HEADER, [_cells(row) for row in found.rows]), "", *_notes(found)]
    rows_with_examples = [row for row in found.rows if row.examples and "reference" in row.examples[0]]
    if rows_with_examples:
        lines += ["", "## Examples", ""]
        lines += [line for row in rows_with_examples for line in _example_lines(row, sounds)]
    return "\n".join(lines) + "\n"


def latex(found: Comparison) -> str:
    """A `tabular`; the better value is bold where that is sure."""
    rows = [[_escaped(cell).replace("**", "") for cell in _cells(row)] for row in found.rows]
    for cells, row in zip(rows, found.rows, strict=True):
        if row.is_better is not None:
            place = 4 if row.is_better else 3
            cells[place] = rf"\textbf{{{cells[place]}}}"
    body = [" & ".join(cells) + r" \\" for cells in rows]
    head = " & ".join(_escaped(cell) for cell in _HEADER) + r" \\"
    columns = "lll" + "r" * (len(_HEADER) - 3)
    return (
        "\n".join(
            [
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                head,
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )
        + "\n"
    )


def plain_json(found: Comparison) -> str:
    """The whole comparison, for programs."""
    rows = [
        {
            "benchmark": row.key[0],
            "domain": row.key[1],
            "metric": row.key[2],
            "first": row.first.value,
            "second": row.second.value,
            "difference": row.difference.value if row.difference else None,
            "low": row.difference.low if row.difference else None,
            "high": row.difference.high if row.difference else None,
            "p_value": row.difference.p_value if row.difference else None,
            "corrected_p_value": row.corrected_p_value,
            "is_better": row.is_better,
            "samples": row.num_samples,
            "recordings": row.difference.num_recordings if row.difference else 0,
            "wins": row.wins,
            "losses": row.losses,
            "beside_baseline": [row.first.beside_baseline, row.second.beside_baseline],
            "examples": row.examples,
        }
        for row in found.rows
    ]
    alone = [{"side": side, "metric": list(key)} for side, key in found.alone]
    whole = {"first": _side(found.first), "second": _side(found.second), "rows": rows, "alone": alone}
    return json.dumps(whole, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def lmms_eval(side: Side) -> str:
    """One version as lmms-eval writes its results: task -> `metric,none` and its standard error, a quarter of the 95 % interval's width."""
    results: dict[str, dict[str, Any]] = {}
    counts: dict[str, dict[str, int]] = {}
    for (benchmark, _, metric), score in sorted(side.scores.items()):
        entry = results.setdefault(benchmark, {"alias": benchmark})
        entry[f"{metric},none"] = score.value
        is_known = score.low is not None and score.high is not None
        entry[f"{metric}_stderr,none"] = (score.high - score.low) / 4 if is_known else "N/A"  # type: ignore[operator]
        before = counts.get(benchmark, {}).get("effective", 0)
        counts[benchmark] = dict.fromkeys(("original", "effective"), max(score.num_samples, before))
    higher = {
        name: {key[2]: score.higher_is_better for key, score in sorted(side.scores.items()) if key[0] == name}
        for name in results
    }
    whole = {
        "results": results,
        "configs": {name: {"task": name, "metric_list": [{"metric": one} for one in higher[name]]} for name in results},
        "versions": dict.fromkeys(results, side.manifest.code_version),
        "n-shot": {name: _num_shots(name) for name in results},
        "higher_is_better": higher,
        "n-samples": counts,
        "config": {"model": "uniaudio", "model_args": f"{side.judged}={side.judged_id}"},
        "model_name": side.stage or side.name,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _num_shots(benchmark: str) -> int:
    """Solved examples before each question: 4 of `digits/4-shot`, 0 of a benchmark that does not say."""
    match = re.fullmatch(r".+/(\d+)-shot", benchmark)
    return int(match[1]) if match else 0


def pipe_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def number(value: float | None) -> str:
    """Four digits, whatever the size; empty for none."""
    return "" if value is None else f"{value:.4g}"


def _cells(row: Row) -> list[str]:
    difference = row.difference
    values = [number(score.value) + _WORSE * (score.beside_baseline == "worse") for score in (row.first, row.second)]
    if row.is_better is not None:
        place = int(row.is_better)
        values[place] = f"**{values[place]}**"
    interval = (
        f"{number(difference.low)} … {number(difference.high)}" if difference and difference.low is not None else ""
    )
    p_values = [number(difference.p_value if difference else None), number(row.corrected_p_value)]
    return [
        *row.key,
        *values,
        number(difference.value if difference else None),
        interval,
        *p_values,
        str(row.wins),
        str(row.losses),
        str(row.num_samples),
    ]


def _about(side: Side, title: str) -> str:
    cost = f", {side.cpu_seconds:.0f} CPU-s" if side.cpu_seconds else ""
    stage = f", stage {side.stage or '?'}" if side.judged == "checkpoint" else ""
    return (
        f"- {title}: {side.name}{stage}, {side.judged} {side.judged_id[:8]}, scores {side.manifest.plan_id[:8]}{cost}"
    )


def _notes(found: Comparison) -> list[str]:
    sure = [row for row in found.rows if row.is_better is not None]
    better = sum(bool(row.is_better) for row in sure)
    lines = [
        f"The second is better in {better} and worse in {len(sure) - better} of {len(found.rows)} metrics after Holm's correction at "
        f"{LEVEL}; of the others nothing can be said.",
        "",
        f"Difference: second minus first, on the samples of both; intervals by bootstrap over recordings, p by swapping the two within "
        f"recordings. {_WORSE}: worse than the metric's trivial baseline.",
    ]
    if found.alone:
        names = ", ".join(f"{'/'.join(key)} ({side})" for side, key in found.alone)
        lines += ["", f"In one of the two alone: {names}."]
    return lines


def _example_lines(row: Row, sounds: str) -> list[str]:
    lines = [f"### {row.key[0]}: {row.key[2]}", ""]
    for one in row.examples:
        clips = ", ".join(clip[:12] for clip in one["clip_ids"])
        lines.append(
            f"- {'won' if one['gain'] > 0 else 'lost'} by {number(abs(one['gain']))}, clip {clips}: {_quoted(one['reference'])}"
        )
        lines += [f"  - {side}: {_quoted(one[side]['answer'])}" for side in ("first", "second") if one[side]["answer"]]
        links = [f"[{part}]({sounds}/{blob}.flac)" for part in SOUNDS for blob in one.get(part, {}).get("audio", [])]
        lines += [f"  - to hear: {', '.join(links)}"] if sounds and links else []
    return [*lines, ""]


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return f"“{flat[:117]}…”" if len(flat) > 120 else f"“{flat}”"


def _escaped(cell: str) -> str:
    return cell.translate(_LATEX)


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "stage": side.stage,
        f"{side.judged}_id": side.judged_id,
        "plan_id": side.manifest.plan_id,
        "content_id": side.manifest.content_id,
        "cpu_seconds": side.cpu_seconds,
    }
