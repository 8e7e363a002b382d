"""Annotated clips as codec training reads them: rendered, cut, with the text they are to be described by.

Row in   {"clip_id": "5f1c…", "split": "train", "transcript": "let's go", …}
Row out  TrainingClip(samples=[69105] float32 at 24 kHz, text="let's go")
"""

import heapq
from dataclasses import dataclass, field

import numpy as np
from uniaudio_schemas.errors import DataError, UniaudioError
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.render import render_clip
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts

SILENT_BELOW = 1e-4
SPARE_SHARE = 0.25
"""Clips beyond what is asked for, as a share of it, for those that turn out to be silent, unreadable or copies."""
HELD_OUT_SHARE = 8
"""One of so many clips of the training split is held out where no clip is in the validation split."""


@dataclass
class TrainingAudio:
    train: list[TrainingClip] = field(default_factory=list)
    held_out: list[TrainingClip] = field(default_factory=list)
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    """Clip id, reason, detail."""


def load_training_audio(
    store: Store, annotated: Manifest, raw: Manifest, *, max_clip_s: float, max_hours: float
) -> TrainingAudio:
    """Clips of the splits `train` and `val`; never of `test`, and none that a registered evaluation set shares. What is held of a corpus
    grows with `max_hours`, not with the corpus."""
    audio, room, max_samples = TrainingAudio(), max_hours * 3600 * SAMPLE_RATE, int(max_clip_s * SAMPLE_RATE)
    candidates = _candidates(store, annotated, audio, room * (1 + SPARE_SHARE), max_samples)
    needed = {row.raw_clip_id for row, _ in candidates}
    raw_rows = {row.clip_id: row for row in store.rows(raw, Raw) if row.clip_id in needed}
    for row, held_out in candidates:
        if room <= 0:
            break
        clip = _load(store, row, raw_rows.get(row.raw_clip_id), max_samples, audio)
        if clip is None:
            continue
        room -= len(clip.samples)
        (audio.held_out if held_out else audio.train).append(clip)
    if not audio.train or not audio.held_out:
        raise DataError(f"annotated: {len(candidates)} clips of audio are too few to train a codec and hold some out.")
    return audio


def text_of(row: Annotated) -> str:
    """What the reasoning branch has to say of a clip: the reference where there is one, never a transcript that was rejected."""
    transcript = None if row.rejections else row.transcript
    return next((text for text in (row.given_text, transcript, row.lyrics, row.caption) if text), "")


def facts_of(row: Annotated) -> ClipFacts:
    """What phases that ask questions may ask; given words before recognized ones, never a transcript that was rejected."""
    transcript = None if row.rejections else row.transcript
    return ClipFacts(
        domain=row.domain,
        transcript=row.given_text or transcript or row.lyrics or "",
        language=row.language or "",
        caption=row.caption or "",
        tags=tuple(row.tags or row.instruments),
    )


def _candidates(
    store: Store, annotated: Manifest, audio: TrainingAudio, room: float, max_samples: int
) -> list[tuple[Annotated, bool]]:
    """The clips whose ids have the least hashes, in that order, as many as fill `room` samples, and whether each is held out. A held-out
    clip that is trained on under another name tells nothing: it is dropped."""
    kept: list[tuple[int, Annotated]] = []
    num_samples, validated = 0, False
    trained: set[str | None] = set()
    for row in store.rows(annotated, Annotated):
        if row.num_samples <= 0 or row.split == "test":
            continue
        if row.leaks:
            audio.dropped.append((row.clip_id, "leak", f"shared with {', '.join(row.leaks)}"))
            continue
        validated |= row.split == "val"
        if row.split == "train":
            trained.add(row.duplicate_cluster)
        # The greatest hash is on top.
        heapq.heappush(kept, (-int(hash_bytes(row.clip_id.encode()), 16), row))
        num_samples += _heard(row, max_samples)
        while num_samples - _heard(kept[0][1], max_samples) >= room:
            num_samples -= _heard(heapq.heappop(kept)[1], max_samples)
    clips = [row for _, row in sorted(kept, key=lambda one: -one[0])]
    held_out = [row.split == "val" if validated else at % HELD_OUT_SHARE == 0 for at, row in enumerate(clips)]
    if not validated:
        trained = {row.duplicate_cluster for row, is_held_out in zip(clips, held_out, strict=True) if not is_held_out}
    trained.discard(None)
    copies = {
        row.clip_id
        for row, is_held_out in zip(clips, held_out, strict=True)
        if is_held_out and row.duplicate_cluster in trained
    }
    audio.dropped += [(clip_id, "copy", "held out, but trained on too") for clip_id in sorted(copies)]
    return [one for one in zip(clips, held_out, strict=True) if one[0].clip_id not in copies]


def _heard(row: Annotated, max_samples: int) -> int:
    """Samples at 24 kHz."""
    return min(max_samples, row.num_samples * SAMPLE_RATE // row.sample_rate)


def _load(store: Store, row: Annotated, raw: Raw | None, max_samples: int, audio: TrainingAudio) -> TrainingClip | None:
    try:
        if raw is None:
            raise DataError(f"raw clip {row.raw_clip_id} is missing")
        samples = render_clip(store, row, raw)
    except UniaudioError as error:
        audio.dropped.append((row.clip_id, "unreadable", str(error)))
        return None
    if len(samples) < RECONSTRUCTION_HOP:
        audio.dropped.append((row.clip_id, "too_short", f"{len(samples)} samples, at least {RECONSTRUCTION_HOP}"))
        return None
    peak = float(np.abs(samples).max())
    # Not `peak < …`: that would let NaN through.
    if not peak >= SILENT_BELOW:
        audio.dropped.append((row.clip_id, "silent", f"peak {peak:.1e}, at least {SILENT_BELOW:.1e}"))
        return None
    # A text says nothing of a clip whose end is cut off.
    text = text_of(row) if len(samples) <= max_samples else ""
    facts = facts_of(row) if len(samples) <= max_samples else ClipFacts(domain=row.domain)
    return TrainingClip(samples=samples[:max_samples], text=text, facts=facts, clip_id=row.clip_id)
