"""The held-out clips that a codec is judged by.

Reads    `annotated` and `raw` of a store: the `test` clips of each domain, else its `val` clips
Row      HeldOutClip(clip_id="5f1c…", domain="speech", split="test", samples=[0.0, …], script="let's go", language="en")

At most one clip of a recording (two cuts of one are no two witnesses), no copy of a training clip, none of silence alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store

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
    """It is spoken in, likewise: "en"."""


def held_out_clips(store_root: str | Path, num_clips: int) -> list[HeldOutClip]:
    """At most `num_clips` of each domain, first in id order (ids are hashes, so it is a fair draw)."""
    store = Store(store_root)
    annotated, raw = store.head("annotated"), store.head("raw")
    if annotated is None or raw is None:
        raise UsageError(f"`store` must hold `annotated` and `raw`, but {store_root} does not.")
    trained = {row.duplicate_cluster for row in store.rows(annotated, Annotated) if row.split == "train"} - {None}
    rows: dict[tuple[str, str], list[Annotated]] = defaultdict(list)
    for row in store.rows(annotated, Annotated):
        if row.num_samples and row.split in SPLITS and row.duplicate_cluster not in trained:
            rows[row.domain, row.split].append(row)
    candidates = [next((rows[domain, split] for split in SPLITS if rows[domain, split]), []) for domain in DOMAINS]
    wanted = {row.raw_clip_id for group in candidates for row in group}
    raws = {row.clip_id: row for row in store.rows(raw, Raw) if row.clip_id in wanted}
    return [clip for group in candidates for clip in islice(_one_a_recording(store, group, raws), num_clips)]


def _one_a_recording(store: Store, rows: Iterable[Annotated], raws: dict[str, Raw]) -> Iterator[HeldOutClip]:
    """The first audible clip of each recording, copies being one recording."""
    heard: set[str] = set()
    for row in rows:
        names = {row.raw_clip_id, row.duplicate_cluster or row.clip_id}
        if names & heard:
            continue
        samples = render_clip(store, row, raws[row.raw_clip_id])[:MAX_CLIP_SAMPLES]
        if np.abs(samples).max(initial=0.0) >= MIN_PEAK:
            heard |= names
            script = row.given_text if row.domain == "speech" else None
            told = {"script": script, "language": row.language}
            yield HeldOutClip(clip_id=row.clip_id, domain=row.domain, split=row.split, samples=samples, **told)
