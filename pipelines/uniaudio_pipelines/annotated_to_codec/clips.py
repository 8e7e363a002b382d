"""Which clips a codec learns from, rendered: the same for any store that holds the same annotations."""

from collections import defaultdict
from collections.abc import Iterable

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.raw import Raw
from uniaudio_schemas.store import Store

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.render import render_clip
from uniaudio.codec.training_clips import TrainingClip


def choose(rows: Iterable[Annotated], *, max_s: float, max_clip_s: float) -> list[Annotated]:
    """Clips of each audio domain in turn, in id order, until `max_s` seconds are full."""
    by_domain: dict[str, list[Annotated]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.clip_id, reverse=True):
        by_domain[row.domain].append(row)
    chosen: list[Annotated] = []
    total_s = 0.0
    while by_domain and total_s < max_s:
        for domain in sorted(by_domain):
            row = by_domain[domain].pop()
            chosen.append(row)
            total_s += min(row.num_samples / row.sample_rate, max_clip_s)
            if not by_domain[domain]:
                del by_domain[domain]
    return chosen


def training_clips(
    store: Store, annotated_plan_id: str, *, splits: tuple[str, ...], max_s: float, max_clip_s: float
) -> list[TrainingClip]:
    """Rendered clips of some splits with what is said or heard in them. DataError where there is none."""
    manifest = store.version("annotated", annotated_plan_id)
    if manifest is None:
        raise DataError(f"annotated {annotated_plan_id[:8]}: this version is not in the store any more.")
    raw_version = next((found for found in store.versions("raw") if found.content_id == manifest.parents["raw"]), None)
    if raw_version is None:
        raise DataError(f"raw {manifest.parents['raw'][:8]}: this version is not in the store any more.")
    rows = [row for row in store.rows(manifest, Annotated) if row.domain != "text" and row.split in splits]
    chosen = choose(rows, max_s=max_s, max_clip_s=max_clip_s)
    wanted = {row.raw_clip_id for row in chosen}
    raw = {row.clip_id: row for row in store.rows(raw_version, Raw) if row.clip_id in wanted}
    clips = []
    for row in chosen:
        samples = render_clip(store, row, raw[row.raw_clip_id])[: int(max_clip_s * SAMPLE_RATE)]
        # The text belongs to the whole clip: of a clip that is cut here it would claim what is not heard.
        is_whole = row.num_samples <= max_clip_s * row.sample_rate
        text = (row.given_text or row.transcript or row.caption or "") if is_whole or row.domain != "speech" else ""
        clips.append(TrainingClip(samples=samples, text=text))
    if not clips:
        raise DataError(f"annotated {annotated_plan_id[:8]}: no clip of the splits {', '.join(splits)} to train a codec on.")
    return clips
