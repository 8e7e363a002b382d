"""The audio of a unit's clips, raw file by raw file; what several clips need is decoded once."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.store import Store

from uniaudio.audio.render import RawReader, check_cut, open_raw, render_cut, render_recipe
from uniaudio_pipelines.instructions_to_tokens.clips import Sources

MAX_KEPT_SAMPLES = 1 << 27
"""Samples kept for other recipes of the unit: 512 MiB. What does not fit is decoded again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A clip's samples, or why there are none."""

    clip_id: str
    samples: np.ndarray
    """`[N]` float32 at 24 kHz."""
    reason: str = ""
    detail: str = ""


class UnknownClipError(Exception):
    """A clip that is neither annotated nor a recipe."""


class UnitAudio:
    """Renders the clips of a unit; safe to use from threads. A clip that several need is decoded once."""

    def __init__(self, store: Store, sources: Sources, clips: Iterable[str]) -> None:
        self._store, self._sources = store, sources
        self._clips = list(clips)
        self._uses = Counter(part for clip in self._clips for part in self._parts(clip))
        self._kept: dict[str, np.ndarray] = {}
        self._num_kept = 0
        self._locks = {clip: threading.Lock() for clip, uses in self._uses.items() if uses > 1}
        self._lock = threading.Lock()
        self.num_decoded = 0
        """Samples at 24 kHz that were read from raw files."""

    def groups(self) -> list[list[str]]:
        """Clips of one raw file together, files in the order in which they lie in their tars."""
        clips_by_place: dict[tuple[str, int], list[tuple[int, str]]] = {}
        for clip in self._clips:
            cut = self._sources.cuts.get(self._parts(clip)[0])
            raw = None if cut is None else self._sources.raws.get(cut.raw_clip_id)
            place = ("", 0) if raw is None else (raw.tar, raw.tar_offset)
            clips_by_place.setdefault(place, []).append((0 if cut is None else cut.first_sample, clip))
        return [[clip for _, clip in sorted(members)] for _, members in sorted(clips_by_place.items())]

    def render(self, group: list[str]) -> Iterator[Rendered]:
        """The clips of a group, whose raw file is opened once."""
        with ExitStack() as files:
            readers: dict[str, RawReader] = {}
            for clip in group:
                try:
                    yield Rendered(clip_id=clip, samples=self._clip(clip, readers, files))
                except UnknownClipError as error:
                    yield Rendered(clip_id=clip, samples=np.zeros(0), reason="unknown_clip", detail=str(error))
                except (DataError, UsageError) as error:
                    yield Rendered(clip_id=clip, samples=np.zeros(0), reason="unreadable", detail=str(error))

    def _parts(self, clip: str) -> list[str]:
        """The cuts that a clip is made from."""
        recipe = self._sources.recipes.get(clip)
        return [clip] if recipe is None or not recipe.parents else recipe.parents

    def _clip(self, clip: str, readers: dict[str, RawReader], files: ExitStack) -> np.ndarray:
        recipe = self._sources.recipes.get(clip)
        if recipe is None:
            return self._cut(clip, readers, files)
        return render_recipe(recipe, [self._cut(parent, readers, files) for parent in recipe.parents])

    def _cut(self, clip: str, readers: dict[str, RawReader], files: ExitStack) -> np.ndarray:
        if clip not in self._locks:
            return self._decoded(clip, readers, files)
        with self._locks[clip]:
            samples = self._kept.get(clip)
            if samples is None:
                samples = self._decoded(clip, readers, files)
            self._keep(clip, samples)
            return samples

    def _keep(self, clip: str, samples: np.ndarray) -> None:
        with self._lock:
            self._uses[clip] -= 1
            if clip in self._kept:
                if not self._uses[clip]:
                    self._num_kept -= len(self._kept.pop(clip))
            elif self._uses[clip] and self._num_kept + len(samples) <= MAX_KEPT_SAMPLES:
                self._kept[clip] = samples
                self._num_kept += len(samples)

    def _decoded(self, clip: str, readers: dict[str, RawReader], files: ExitStack) -> np.ndarray:
        cut = self._sources.cuts.get(clip)
        raw = None if cut is None else self._sources.raws.get(cut.raw_clip_id)
        if cut is None or raw is None:
            raise UnknownClipError(f"clip {clip} is neither annotated nor a recipe")
        check_cut(cut, raw)
        if raw.clip_id not in readers:
            # Only the group's own file stays open; parents of mixtures may be in hundreds.
            if len(readers) > 1:
                files.close()
                readers.clear()
            readers[raw.clip_id] = files.enter_context(open_raw(self._store, raw))
        samples = render_cut(readers[raw.clip_id], cut)
        with self._lock:
            self.num_decoded += len(samples)
        return samples
