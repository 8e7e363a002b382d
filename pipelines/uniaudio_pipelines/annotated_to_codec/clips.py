"""Annotated clips as codec training reads them: rendered, cut, with the text they are to be described by.

Row in   {"clip_id": "5f1c…", "split": "train", "transcript": "let's go", …}
Row out  TrainingClip(samples=[69105] float32 at 24 kHz, text="let's go"), decoded when it is needed
"""

import heapq
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from uniaudio_schemas.errors import DataError, UniaudioError
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.render import render_clip
from uniaudio.training.codec.audio import AudioCache, StoredSamples, digest_of
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.processes import Processes
from uniaudio_pipelines.places import Cut, RawAudio, raw_places

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
    store: Store,
    annotated: Manifest,
    raw: Manifest,
    *,
    max_clip_s: float,
    max_hours: float,
    cache: AudioCache | None = None,
) -> TrainingAudio:
    """Clips of the splits `train` and `val`; never of `test`, and none that a registered evaluation set shares.

    Every clip is decoded once, by one of the ranks, to know how long it is and whether it can be heard; afterwards when it is
    needed. Called by all ranks, which get the same clips. What is held beside `cache` is rows of at most `max_hours`.
    """
    audio, room, max_samples = TrainingAudio(), max_hours * 3600 * SAMPLE_RATE, int(max_clip_s * SAMPLE_RATE)
    candidates = _candidates(store, annotated, audio, room * (1 + SPARE_SHARE), max_samples)
    raws = raw_places(store, raw, {row.raw_clip_id for row, _ in candidates})
    cache, num_done = cache or AudioCache(), 0
    while room > 0 and num_done < len(candidates):
        some = candidates[num_done:][: _num_within(candidates[num_done:], room, max_samples)]
        num_done += len(some)
        decodes = [_Decode.of(store, row, raws, max_samples) for row, _ in some]
        for (row, held_out), decode, heard in zip(some, decodes, _hear_all(decodes, cache), strict=True):
            if room <= 0:
                break
            if heard.reason:
                audio.dropped.append((row.clip_id, heard.reason, heard.detail))
                continue
            clip = _clip(row, decode, heard, cache, max_samples)
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


def _num_within(candidates: list[tuple[Annotated, bool]], room: float, max_samples: int) -> int:
    """How many of the first candidates fill `room` samples, as far as their rows tell."""
    filled = np.cumsum([_heard(row, max_samples) for row, _ in candidates])
    return min(len(candidates), int(np.searchsorted(filled, room)) + 1)


class _Heard(NamedTuple):
    """What decoding a clip once has told."""

    num_samples: int = 0
    """At 24 kHz, before its end is cut off."""
    digest: str = ""
    reason: str = ""
    """Why the clip is dropped; empty where it is not."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decode:
    """Samples `[N]` float32 at 24 kHz of a clip, at most `max_samples`, whenever it is called."""

    store: Store
    cut: Cut
    raw: RawAudio | None
    max_samples: int

    @classmethod
    def of(cls, store: Store, row: Annotated, raws: dict[str, RawAudio], max_samples: int) -> "_Decode":
        return cls(store=store, cut=Cut.of(row), raw=raws.get(row.raw_clip_id), max_samples=max_samples)

    def __call__(self) -> np.ndarray:
        return self.used(self.whole())

    def used(self, samples: np.ndarray) -> np.ndarray:
        """The start of a long clip, without the rest in memory."""
        return samples if len(samples) <= self.max_samples else samples[: self.max_samples].copy()

    def whole(self) -> np.ndarray:
        if self.raw is None:
            raise DataError(f"raw clip {self.cut.raw_clip_id} is missing")
        return render_clip(self.store, self.cut, self.raw)


def _hear_all(decodes: list[_Decode], cache: AudioCache) -> list[_Heard]:
    """The ranks share them; each rank keeps of its own what `cache` has room for."""
    processes = Processes.current()
    return processes.join(list(cache.readers.map(partial(_hear, cache), decodes[processes.mine])))


def _hear(cache: AudioCache, decode: _Decode) -> _Heard:
    try:
        samples = decode.whole()
    except UniaudioError as error:
        return _Heard(reason="unreadable", detail=str(error))
    if len(samples) < RECONSTRUCTION_HOP:
        return _Heard(reason="too_short", detail=f"{len(samples)} samples, at least {RECONSTRUCTION_HOP}")
    peak = float(np.abs(samples).max())
    # Not `peak < …`: that would let NaN through.
    if not peak >= SILENT_BELOW:
        return _Heard(reason="silent", detail=f"peak {peak:.1e}, at least {SILENT_BELOW:.1e}")
    used = decode.used(samples)
    cache.put(decode.cut.clip_id, used)
    return _Heard(num_samples=len(samples), digest=digest_of(used))


def _clip(row: Annotated, decode: _Decode, heard: _Heard, cache: AudioCache, max_samples: int) -> TrainingClip:
    # A text says nothing of a clip whose end is cut off.
    is_whole = heard.num_samples <= max_samples
    return TrainingClip(
        samples=StoredSamples(
            cache, row.clip_id, decode, num_samples=min(heard.num_samples, max_samples), digest=heard.digest
        ),
        text=text_of(row) if is_whole else "",
        facts=facts_of(row) if is_whole else ClipFacts(domain=row.domain),
        clip_id=row.clip_id,
    )
