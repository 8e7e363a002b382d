"""The held-out clips that a codec is judged by.

Reads    `annotated` and `raw` of a store: the `test` clips of each domain, else its `val` clips
Row      HeldOutClip(clip_id="5f1c…", domain="speech", split="test", samples=[0.0, …], script="let's go", language="en")

At most one clip of a recording (two cuts of one are no two witnesses), no copy of a training clip, none of silence alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import from_table
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.render import render_clip

DOMAINS = ("speech", "sound", "music")
SPLITS = ("test", "val")
MAX_CLIP_SAMPLES = 20 * SAMPLE_RATE
MIN_PEAK = 1e-3
"""60 dB below full scale: less is silence."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldOutClip:
    """One clip of the test split."""

    clip_id: str
    domain: str
    split: str
    samples: np.ndarray
    """`[N]` float32 at 24 kHz."""
    script: str | None
    """What is spoken, where the source says so."""
    language: str | None = None
    """Language of the transcript, where the source names it: "en"."""


def held_out_clips(store: Store, num_clips: int) -> list[HeldOutClip]:
    """At most `num_clips` of each domain, first in id order (ids are hashes, so it is a fair draw)."""
    annotated, raw = store.head("annotated"), store.head("raw")
    if annotated is None or raw is None:
        raise UsageError(f"`store` must hold `annotated` and `raw`, but {store.root} does not.")
    candidates = held_out_rows(store, annotated)
    raws = raw_rows(store, raw, (row for group in candidates for row in group))
    return [clip for group in candidates for clip in islice(_one_a_recording(store, group, raws), num_clips)]


def held_out_rows(store: Store, annotated: Manifest) -> list[list[Annotated]]:
    """For each of `DOMAINS`, the clips of the first of `SPLITS` that has any, in id order. Copies of training clips are left out."""
    training_clusters: set[str | None] = set()
    rows: dict[tuple[str, str], list[Annotated]] = defaultdict(list)
    for table in store.tables(annotated, ["split", "duplicate_cluster"]):
        training_clusters.update(table.filter(pc.equal(table["split"], "train"))["duplicate_cluster"].to_pylist())
    training_clusters.discard(None)
    for table in store.tables(annotated):
        is_wanted = pc.and_(pc.is_in(table["split"], value_set=pa.array(SPLITS)), pc.greater(table["num_samples"], 0))
        for row in from_table(table.filter(is_wanted), Annotated):
            if row.duplicate_cluster not in training_clusters:
                rows[row.domain, row.split].append(row)
    groups = [next((rows[domain, split] for split in SPLITS if rows[domain, split]), []) for domain in DOMAINS]
    return [sorted(group, key=lambda row: row.clip_id) for group in groups]


def raw_rows(store: Store, raw: Manifest, clips: Iterable[Annotated]) -> dict[str, Raw]:
    """The files that clips are cut from, by id."""
    raw_clip_ids = pa.array(sorted({clip.raw_clip_id for clip in clips}), pa.string())
    rows: dict[str, Raw] = {}
    for table in store.tables(raw):
        rows |= {row.clip_id: row for row in from_table(table.filter(pc.is_in(table["clip_id"], raw_clip_ids)), Raw)}
    return rows


def _one_a_recording(store: Store, rows: Iterable[Annotated], raws: dict[str, Raw]) -> Iterator[HeldOutClip]:
    """The first audible clip of each recording, copies being one recording."""
    recordings: set[str] = set()
    for row in rows:
        names = {row.raw_clip_id, row.duplicate_cluster or row.clip_id}
        if names & recordings:
            continue
        clip = held_out_clip(store, row, raws)
        if clip is not None:
            recordings |= names
            yield clip


def held_out_clip(
    store: Store, row: Annotated, raws: dict[str, Raw], max_samples: int = MAX_CLIP_SAMPLES
) -> HeldOutClip | None:
    """A row with its audio, at most `max_samples` of it; None of silence."""
    samples = render_clip(store, row, raws[row.raw_clip_id])
    is_whole, samples = len(samples) <= max_samples, samples[:max_samples]
    if not np.abs(samples).max(initial=0.0) >= MIN_PEAK:
        return None
    # What is spoken in a part of it nobody says.
    script = row.given_text if row.domain == "speech" and is_whole else None
    speech = {"script": script, "language": row.language}
    return HeldOutClip(clip_id=row.clip_id, domain=row.domain, split=row.split, samples=samples, **speech)
