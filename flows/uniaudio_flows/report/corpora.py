"""What the corpora are, by corpus and domain: hours, languages, licences, and the usual range of each measure.

Reads    annotated, by lazy scans that gather before a row is seen: memory grows with corpora, not with clips
Row out  ("queen", "speech", 6745, 5.91, "en", "train 5.3, val 0.3, test 0.31", 6740, 12, 3, 0)
"""

from collections import defaultdict

import polars as pl

from uniaudio_flows.report.histograms import MEASURES
from uniaudio_flows.report.table import Table, table

SECONDS = pl.col("num_samples") / pl.col("sample_rate").clip(lower_bound=1)
"""Length of a clip; 0 for text."""
HOURS = (SECONDS.sum() / 3600).round(4)
"""Hours, to a third of a second: a table has room for no more."""
_MOST_LANGUAGES = 5
_MOST_CORPORA = 6


def overview(frame: pl.LazyFrame) -> Table:
    """One row a corpus and domain."""
    counts = (
        frame.group_by("corpus", "domain")
        .agg(
            pl.len().alias("clips"),
            HOURS.alias("hours"),
            *(
                (SECONDS.filter(pl.col("split") == split).sum() / 3600).round(4).alias(split)
                for split in ("train", "val", "test")
            ),
            pl.col("given_text").is_not_null().sum().alias("given"),
            pl.col("transcript").is_not_null().sum().alias("heard"),
            (pl.col("rejections").list.len() > 0).sum().alias("rejected"),
            (pl.col("leaks").list.len() > 0).sum().alias("leaking"),
        )
        .sort("corpus", "domain")
        .collect(engine="streaming")
    )
    languages_by_corpus = _languages_of(frame)
    header = (
        "corpus", "domain", "clips", "hours", "train h", "val h", "test h", "languages", "with given text", "with transcript",
        "text rejected", "leaking",
    )  # fmt: skip
    rows = [
        (*row[:7], ", ".join(languages_by_corpus[row[0], row[1]]), *row[7:])
        for row in counts.iter_rows()
    ]  # fmt: skip
    return table("Clips by corpus and domain", header, rows)


def _languages_of(frame: pl.LazyFrame) -> dict[tuple[str, str], list[str]]:
    """(corpus, domain) -> its languages, the longest first."""
    counts = (
        frame.filter(pl.col("language").is_not_null())
        .group_by("corpus", "domain", "language")
        .agg(SECONDS.sum().alias("seconds"), pl.len().alias("clips"))
        .sort("seconds", "clips", "language", descending=[True, True, False])
        .collect(engine="streaming")
    )
    languages: dict[tuple[str, str], list[str]] = defaultdict(list)
    for corpus, domain, language, *_ in counts.iter_rows():
        languages[corpus, domain].append(language)
    return defaultdict(
        list,
        {
            key: [
                *names[:_MOST_LANGUAGES],
                *([f"{len(names) - _MOST_LANGUAGES} more"] if names[_MOST_LANGUAGES:] else []),
            ]
            for key, names in languages.items()
        },
    )


def languages(frame: pl.LazyFrame) -> Table:
    """Hours of each language; sound and music without one are not counted."""
    counts = (
        frame.filter(pl.col("language").is_not_null() | pl.col("domain").is_in(["speech", "text"]))
        .group_by(pl.col("language").fill_null("not known"), "domain")
        .agg(pl.len().alias("clips"), HOURS.alias("hours"), pl.col("corpus").n_unique().alias("corpora"))
        .sort("hours", "clips", "language", "domain", descending=[True, True, False, False])
        .collect(engine="streaming")
    )
    return table("Languages", ("language", "domain", "clips", "hours", "corpora"), counts.iter_rows())


def licences(frame: pl.LazyFrame) -> Table:
    """Clips and hours under each licence, and whose they are."""
    counts = (
        frame.group_by("licence")
        .agg(pl.len().alias("clips"), HOURS.alias("hours"), pl.col("corpus").unique().sort().alias("corpora"))
        .sort("hours", "clips", "licence", descending=[True, True, False])
        .collect(engine="streaming")
    )
    rows = (
        (licence, clips, hours, [*corpora[:_MOST_CORPORA], *(["…"] if corpora[_MOST_CORPORA:] else [])])
        for licence, clips, hours, corpora in counts.iter_rows()
    )
    return table("Licences", ("licence", "clips", "hours", "corpora"), rows)


def ranges(frame: pl.LazyFrame) -> Table:
    """The 5th, 50th and 95th percentile of each measure, by corpus and domain."""
    shares = (0.05, 0.5, 0.95)
    quantiles = (
        frame.filter(pl.col("domain") != "text")
        .group_by("corpus", "domain")
        .agg(
            pl.concat_list(measure.value.quantile(share) for share in shares).alias(measure.name)
            for measure in MEASURES
        )
        .sort("corpus", "domain")
        .collect()
    )
    rows = ((*row[:2], *(_range(values) for values in row[2:])) for row in quantiles.iter_rows())
    header = ("corpus", "domain", *(f"{measure.title} ({measure.unit})" for measure in MEASURES))
    return table("5th, 50th and 95th percentile", header, rows)


def _range(values: list[float | None]) -> str:
    return "" if None in values else "\u00a0·\u00a0".join(f"{value:.3g}" for value in values if value is not None)
