"""Histograms of the measures as Vega-Lite charts: counted here, drawn and filtered by corpus in the page.

Reads    annotated
Data     {"corpus": "queen", "domain": "speech", "start": 2.5, "stop": 5.0, "clips": 311}
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from uniaudio_flows.report.charts import COLOR, PALETTE, Chart, chart

_MOST_CORPORA = 20
"""Number of corpora with counts of their own, those with most clips; the page would grow with the others."""
_OTHERS = "(all other corpora)"
_DOMAINS = ("speech", "sound", "music", "unknown")
"""Each has the same colour in every chart."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column, and the bins of its histogram: the first and the last take what lies beyond."""

    name: str
    title: str
    unit: str
    value: pl.Expr
    low: float
    high: float
    num_bins: int
    is_log: bool = False

    def edge(self, index: int) -> float:
        share = index / self.num_bins
        if self.is_log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + (self.high - self.low) * share

    @property
    def bin(self) -> pl.Expr:
        share = (
            (self.value / self.low).log() / pl.lit(self.high / self.low).log()
            if self.is_log
            else (self.value - self.low) / (self.high - self.low)
        )
        # 1e-9: a value on an edge belongs to the bin that begins there, whatever the division rounds to.
        return (share * self.num_bins + 1e-9).floor().clip(0, self.num_bins - 1).cast(pl.Int32)


def _column(name: str) -> pl.Expr:
    """Values of a column that are numbers."""
    return pl.when(pl.col(name).is_finite()).then(pl.col(name))


_DURATION = pl.when(pl.col("num_samples") > 0).then(pl.col("num_samples") / pl.col("sample_rate").clip(lower_bound=1))

MEASURES = (
    Measure(name="duration", title="Duration", unit="s", value=_DURATION, low=0.1, high=100.0, num_bins=30, is_log=True),
    Measure(name="snr", title="Signal to noise", unit="dB", value=_column("snr_db"), low=-10.0, high=80.0, num_bins=36),
    Measure(name="mos", title="DNSMOS overall", unit="1 to 5", value=_column("mos"), low=1.0, high=5.0, num_bins=40),
    Measure(name="loudness", title="Loudness", unit="LUFS", value=_column("loudness_lufs"), low=-70.0, high=0.0, num_bins=35),
    Measure(name="words", title="Speaking rate", unit="words/s", value=_column("words_per_s"), low=0.0, high=8.0, num_bins=32),
    Measure(
        name="sample_rate", title="Sample rate", unit="kHz",
        value=pl.when(pl.col("sample_rate") > 0).then(pl.col("sample_rate") / 1000), low=0.0, high=100.0, num_bins=50,
    ),
)  # fmt: skip


def histograms(frame: pl.LazyFrame) -> list[Chart]:
    """One chart a measure, with the corpora as data."""
    corpora = shown_corpora(frame)
    return [_histogram(measure, list(_bins(frame, measure, corpora))) for measure in MEASURES]


def shown_corpora(frame: pl.LazyFrame) -> list[str]:
    """The largest corpora by name, which the page can choose among."""
    largest = (
        frame.group_by("corpus").len().sort("len", "corpus", descending=[True, False]).head(_MOST_CORPORA).collect()
    )
    return sorted(largest["corpus"])


def choices(frame: pl.LazyFrame) -> list[str]:
    """What the page's choice of a corpus offers."""
    corpora = shown_corpora(frame)
    num_corpora = frame.select(pl.col("corpus").n_unique()).collect().item()
    return corpora if num_corpora == len(corpora) else [*corpora, _OTHERS]


def _bins(frame: pl.LazyFrame, measure: Measure, shown: list[str]) -> Iterator[dict[str, Any]]:
    corpus = pl.when(pl.col("corpus").is_in(shown)).then(pl.col("corpus")).otherwise(pl.lit(_OTHERS)).alias("corpus")
    counts = (
        frame.select(corpus, "domain", measure.bin.alias("bin"))
        .drop_nulls("bin")
        .group_by("corpus", "domain", "bin")
        .len()
        .sort("corpus", "domain", "bin")
        .collect(engine="streaming")
    )
    for name, domain, index, clips in counts.iter_rows():
        start, stop = round(measure.edge(index), 4), round(measure.edge(index + 1), 4)
        yield {"corpus": name, "domain": domain, "start": start, "stop": stop, "clips": clips}


def _histogram(measure: Measure, bins: list[dict[str, Any]]) -> Chart:
    num_clips = sum(one["clips"] for one in bins)
    scale = {"type": "log"} if measure.is_log else {"zero": False}
    title = f"{measure.title} ({measure.unit})"
    specification = {
        "data": {"values": bins},
        "params": [{"name": "chosen", "value": ""}],
        "transform": [
            {"filter": "chosen === '' || datum.corpus === chosen"},
            {"aggregate": [{"op": "sum", "field": "clips", "as": "clips"}], "groupby": ["domain", "start", "stop"]},
        ],
        "mark": {"type": "bar"},
        "encoding": {
            "x": {"field": "start", "type": "quantitative", "bin": "binned", "title": title, "scale": scale},
            "x2": {"field": "stop"},
            "y": {"field": "clips", "type": "quantitative", "title": "clips", "stack": True, "axis": {"format": "~s"}},
            "color": {"field": "domain", "type": "nominal", **COLOR, "scale": {"domain": _DOMAINS, "range": PALETTE}},
            "tooltip": [
                {"field": "domain"},
                {"field": "start", "title": f"from {measure.unit}"},
                {"field": "stop", "title": f"to {measure.unit}"},
                {"field": "clips", "format": ","},
            ],
        },
    }
    words = f"Histogram of {title} of {num_clips:,} clips; the table of percentiles above says the same in numbers."
    note = f"{num_clips:,} clips" + ("" if num_clips else ": nothing was measured")
    return chart(measure.title, note, words, specification)
