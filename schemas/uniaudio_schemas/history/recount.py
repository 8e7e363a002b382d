"""The statistics of a shard that lost rows, as the edge that wrote it counts them. What is counted of files or runs, not of rows
(`source_bytes`, the audio behind scores), stays."""

from collections.abc import Callable
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
"""Sample rate of tokens and of recipes in Hz."""


def recount(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    """`before` with what the rows of `table` now give; a name that was not counted is not counted now."""
    counts = _COUNTED[plan.kind](store, plan, table, before) if plan.kind in _COUNTED else {}
    recounted = (TRAIN_STATISTIC, *(f"{measure}/" for measure in MEASURES))
    other_statistics = {name: value for name, value in before.items() if not name.startswith(recounted)}
    return {**other_statistics, **{name: value for name, value in counts.items() if name in before}}


def _of_raw(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    return {"audio_s": _seconds(table), "num_documents": float(table["medium"].to_pylist().count("text"))}


def _of_cuts(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    names = ("speech", "sound", "music")
    seconds = {f"{name}_s": _seconds(table.filter(_equal(table, "domain", name))) for name in names}
    return {**seconds, "audio_s": sum(seconds.values())}


def _of_instructions(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    counts = {}
    if "audio_s" in before:
        recipe_lengths = {
            recipe["clip_id"]: recipe["num_samples"] for row in table["recipes"].to_pylist() for recipe in row
        }
        clip_ids = _clips_in_segments(table)
        samples = sum(recipe_lengths.get(clip, 0) for clip in clip_ids) + _samples(
            store, plan, "annotated", clip_ids - set(recipe_lengths)
        )
        counts["audio_s"] = samples / RATE
    return counts | (_examples(store, plan, table) if any(name.startswith("examples/") for name in before) else {})


def _of_tokens(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    return {"audio_s": float(np.sum(table["num_samples"].to_numpy())) / RATE}


def _of_sequences(store: "Store", plan: Plan, table: pa.Table, before: dict[str, float]) -> dict[str, float]:
    lengths = [segment["length"] for row in table["segments"].to_pylist() for segment in row]
    counts = {"num_positions": float(sum(lengths)), **_training_examples(table)}
    if "audio_s" in before:
        counts["audio_s"] = _samples(store, plan, "tokens", _heard(store, plan, table)) / RATE
    return counts


_COUNTED: dict[str, Callable[["Store", Plan, pa.Table, dict[str, float]], dict[str, float]]] = {
    "raw": _of_raw,
    "cuts": _of_cuts,
    "annotated": _of_cuts,
    "instructions": _of_instructions,
    "tokens": _of_tokens,
    "sequences": _of_sequences,
}
"""Kind -> what counts its rows; only kinds whose edges count anything."""


def _equal(table: pa.Table, column: str, value: str) -> pa.ChunkedArray:
    return pc.equal(table[column], value)


def _seconds(table: pa.Table) -> float:
    """Seconds of audio in the rows, each at its own sample rate. Text has none."""
    rows = table.select(["num_samples", "sample_rate"]).to_pylist()
    return float(sum(row["num_samples"] / row["sample_rate"] for row in rows if row["sample_rate"]))


def _training_examples(table: pa.Table) -> dict[str, float]:
    groups = table.filter(_equal(table, "split", "train"))["mixture"].value_counts().to_pylist()
    return {f"{TRAIN_STATISTIC}{group['values']}": float(group["counts"]) for group in groups}


def _heard(store: "Store", plan: Plan, table: pa.Table) -> set[str]:
    """The clips that the segments of the sequences' instructions name, each once."""
    clip_ids = set[str]()
    for instructions in store.tables(store.version_with("instructions", plan.parents["instructions"])):
        clip_ids |= _clips_in_segments(
            instructions.filter(
                pc.is_in(instructions["instruction_id"], value_set=table["sequence_id"].combine_chunks())
            )
        )
    return clip_ids


def _examples(store: "Store", plan: Plan, table: pa.Table) -> dict[str, float]:
    """What the rows say of each task."""
    rows = table.select(["task", "split", "corpus", "segments", "recipes"]).to_pylist()
    recipe_lengths = {recipe["clip_id"]: recipe["num_samples"] for row in rows for recipe in row["recipes"]}
    lengths = _lengths(store, plan, "annotated", _clips_in_segments(table) - set(recipe_lengths)) | recipe_lengths
    return example_statistics(example_of(row, lengths) for row in rows)


def _clips_in_segments(table: pa.Table) -> set[str]:
    return {segment["clip_id"] for row in table["segments"].to_pylist() for segment in row} - {""}


def _samples(store: "Store", plan: Plan, kind: str, clips: set[str]) -> int:
    return sum(_lengths(store, plan, kind, clips).values())


def _lengths(store: "Store", plan: Plan, kind: str, clips: set[str]) -> dict[str, int]:
    """Clip id -> samples at 24 kHz."""
    clip_ids, lengths = pa.array(sorted(clips), pa.string()), {}
    for table in store.tables(store.version_with(kind, plan.parents[kind])):
        for row in table.filter(pc.is_in(table["clip_id"], value_set=clip_ids)).to_pylist():
            # Tokens are at 24 kHz; annotated clips have a rate of their own, and a resampled clip's length is rounded up.
            lengths[row["clip_id"]] = -(-row["num_samples"] * RATE // row.get("sample_rate", RATE))
    return lengths
