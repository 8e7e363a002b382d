"""Ask Polars about token shards: hours, frames, and how many of its codes a codec uses.

    python examples/query_tokens.py --store data/store

Columns that a query does not name are not read; the shards are memory-mapped Arrow files, or lie in an object store.
"""

import argparse
import tempfile

import polars as pl
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Store
from uniaudio_schemas.testing import a_plan, example_rows


def example_store() -> Store:
    """A store with three made clips, where no other is named."""
    store = Store(tempfile.mkdtemp())
    for kind in ("annotated", "tokens"):
        with store.writer(a_plan(kind), owner="example") as writer:
            writer.put_shard("queen-00000", example_rows(kind, 3))
            writer.publish()
    return store


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Ask Polars about token shards.")
    parser.add_argument("--store", help="a store that holds tokens")
    options = parser.parse_args(arguments)
    store = Store(options.store) if options.store else example_store()

    tokens = scan(store, "tokens")
    print(
        tokens.select(
            pl.len().alias("clips"),
            (pl.col("num_samples").sum() / 24_000).round(2).alias("seconds"),
            pl.col("reasoning_codes").list.len().sum().alias("reasoning_frames"),
            pl.col("reconstruction_codes").list.len().sum().alias("reconstruction_frames"),
        ).collect()
    )

    # Which share of its entries does each of the eight codebooks use?
    codes = tokens.select(pl.col("reconstruction_codes").explode().alias("frame"))
    levels = [pl.col("frame").arr.get(level).n_unique().alias(f"codebook_{level}") for level in range(8)]
    print(codes.select(levels).collect().row(0, named=True))

    # Tokens and annotations share their clip ids, so that a question may go over both.
    both = tokens.select("clip_id", "num_samples").join(
        scan(store, "annotated").select("clip_id", "corpus", "domain"), on="clip_id"
    )
    print(
        both.group_by("corpus", "domain")
        .agg((pl.col("num_samples").sum() / 24_000).alias("seconds"))
        .sort("corpus")
        .collect()
    )


if __name__ == "__main__":
    main()
