"""The statistics of a shard that lost rows, as the edge that wrote it counts them. What is counted of files or runs, not of rows
(`source_bytes`, the audio behind scores), stays."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.kinds.sequences import TRAIN_STATISTIC
from uniaudio_schemas.kinds.task_statistics import MEASURES, example_of, example_statistics
from uniaudio_schemas.store.manifest import Plan

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

RATE = 24_000
"""Hz, of tokens and of recipes."""


def recount(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    """`before` with what the rows of `table` now give; a name that was not counted is not counted now."""
    counted: dict[str, float] = {}
    if plan.kind == "raw":
        counted = {"audio_s": _seconds(table), "num_documents": float(table["medium"].to_pylist().count("text"))}
    elif plan.kind in ("cuts", "annotated"):
        names = ("speech", "sound", "music")
        counted = {f"{name}_s": _seconds(table.filter(_equal(table, "domain", name))) for name in names}
        counted["audio_s"] = sum(counted.values())
    elif plan.kind == "tokens":
        counted = {"audio_s": float(np.sum(table["num_samples"].to_numpy())) / RATE}
    elif "audio_s" in before and plan.kind in ("instructions", "sequences"):
        counted = {"audio_s": _heard_samples(store, plan, table) / RATE}
    if plan.kind == "instructions" and any(name.startswith("examples/") for name in before):
        counted |= _examples(store, plan, table)
    if plan.kind == "sequences":
        lengths = [segment["length"] for row in table["segments"].to_pylist() for segment in row]
        counted["num_positions"] = float(sum(lengths))
        counted |= _training_examples(table)
    recounted = (TRAIN_STATISTIC, *(f"{measure}/" for measure in MEASURES))
    kept = {name: value for name, value in before.items() if not name.startswith(recounted)}
    return {**kept, **{name: value for name, value in counted.items() if name in before}}


def _equal(table: pa.Table, column: str, value: str) -> pa.ChunkedArray:
    return pc.equal(table[column], value)


def _seconds(table: pa.Table) -> float:
    """Of the rows' audio, in their own order and at their own rate; text has none."""
    rows = table.select(["num_samples", "sample_rate"]).to_pylist()
    return float(sum(row["num_samples"] / row["sample_rate"] for row in rows if row["sample_rate"]))


def _training_examples(table: pa.Table) -> dict[str, float]:
    groups = table.filter(_equal(table, "split", "train"))["mixture"].value_counts().to_pylist()
    return {f"{TRAIN_STATISTIC}{group['values']}": float(group["counts"]) for group in groups}


def _heard_samples(store: "Store", plan: Plan, table: pa.Table) -> int:
    """Samples at 24 kHz of the clips that the rows' segments name, each once."""
    if plan.kind == "instructions":
        made = {recipe["clip_id"]: recipe["num_samples"] for row in table["recipes"].to_pylist() for recipe in row}
        heard = _clips_in_segments(table)
        return sum(made.get(clip, 0) for clip in heard) + _samples(store, plan, "annotated", heard - set(made))
    heard = set()
    for instructions in store.tables(store.version_with("instructions", plan.parents["instructions"])):
        heard |= _clips_in_segments(
            instructions.filter(
                pc.is_in(instructions["instruction_id"], value_set=table["sequence_id"].combine_chunks())
            )
        )
    return _samples(store, plan, "tokens", heard)


def _examples(store: "Store", plan: Plan, table: pa.Table) -> dict[str, float]:
    """What the rows say of each task."""
    rows = table.select(["task", "split", "corpus", "segments", "recipes"]).to_pylist()
    made = {recipe["clip_id"]: recipe["num_samples"] for row in rows for recipe in row["recipes"]}
    lengths = _lengths(store, plan, "annotated", _clips_in_segments(table) - set(made)) | made
    return example_statistics(example_of(row, lengths) for row in rows)


def _clips_in_segments(table: pa.Table) -> set[str]:
    return {segment["clip_id"] for row in table["segments"].to_pylist() for segment in row} - {""}


def _samples(store: "Store", plan: Plan, kind: str, clips: set[str]) -> int:
    return sum(_lengths(store, plan, kind, clips).values())


def _lengths(store: "Store", plan: Plan, kind: str, clips: set[str]) -> dict[str, int]:
    """Clip id -> samples at 24 kHz."""
    wanted, found = pa.array(sorted(clips), pa.string()), {}
    for table in store.tables(store.version_with(kind, plan.parents[kind])):
        for row in table.filter(pc.is_in(table["clip_id"], value_set=wanted)).to_pylist():
            # Tokens are at 24 kHz; annotated clips have a rate of their own, and a resampled clip's length is rounded up.
            found[row["clip_id"]] = -(-row["num_samples"] * RATE // row.get("sample_rate", RATE))
    return found
