"""One shard of raw clips to cuts: choose, listen, cut, ask every annotator that was not asked before, write down who said what.

A recording is heard block by block and read cut by cut: memory does not grow with it. Clips are given to annotators together, up to
two minutes of audio at a time.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import rows
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.raw_to_annotated import cutting, segmentation
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE as RATE
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import (
    MUSIC,
    SOUND,
    SPEECH,
    Annotator,
    Clip,
    ask,
    version_of,
)
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity
from uniaudio_pipelines.raw_to_annotated.drafts import Draft, draft_again, draft_of, passage_of, said_by, seconds_of
from uniaudio_pipelines.raw_to_annotated.earlier import EarlierCuts
from uniaudio_pipelines.raw_to_annotated.hearing import listen
from uniaudio_pipelines.raw_to_annotated.job import RawToCuts
from uniaudio_pipelines.raw_to_annotated.limits import Limits
from uniaudio_pipelines.raw_to_annotated.scripts import give_times, share_text
from uniaudio_pipelines.raw_to_annotated.segmentation import Hearing, NothingHeardError
from uniaudio_pipelines.running.edge import Hand, ShardResult

_SILENT_BELOW = 1e-4
"""Peak (-80 dBFS) under which a recording says nothing."""
_BATCH_S = 120.0
"""Audio in memory at a time."""
_READS_TRANSCRIPT = "words"


@dataclass(kw_only=True)
class _Recording:
    raw: Raw
    drafts: list[Draft] = field(default_factory=list)
    hearing: Hearing | None = None
    dropped: list[Dropped] = field(default_factory=list)
    shares_text: bool = False
    """Whether its given text has yet to be shared among its cuts."""

    def drop(self, reason: str, detail: str) -> None:
        self.dropped.append(Dropped(row_id=self.raw.clip_id, reason=reason, detail=detail))


class CutsWorker:
    hand = Hand()

    def __init__(self, store_root: str, job: RawToCuts, plan: Plan) -> None:
        models = Path(job.annotate.models)
        annotators = table.load(job.annotate.annotators, models, job.annotate.device)
        _check_versions(plan, annotators, models)
        self._set_up(store_root, job, plan, annotators)
        _one_thread()

    @classmethod
    def with_annotators(cls, store_root: str, job: RawToCuts, plan: Plan, annotators: list[Annotator]) -> "CutsWorker":
        """A worker with annotators that are made already (tests, notebooks)."""
        worker = cls.__new__(cls)
        worker._set_up(store_root, job, plan, annotators)
        return worker

    def _set_up(self, store_root: str, job: RawToCuts, plan: Plan, annotators: list[Annotator]) -> None:
        self._store, self._job, self._annotators = Store(store_root), job.annotate, annotators
        self._voice = next((one for one in annotators if isinstance(one, VoiceActivity)), None)
        self._raw = self._store.version_with("raw", plan.parents["raw"])
        self._shards = {shard.unit: shard for shard in self._raw.shards}
        self._limits = Limits.of(self._store, self._raw, job.annotate)
        self._earlier = EarlierCuts(self._store, plan)

    def process(self, unit: str) -> ShardResult:
        self._work: dict[str, float] = defaultdict(float)
        raws = list(rows(self._store.table_of_shard(self._raw, self._shards[unit]), Raw))
        cuts, dropped = self._earlier.of_unit(unit, [raw.clip_id for raw in raws])
        recordings = []
        for raw in raws:
            recording = _Recording(raw=raw)
            recordings.append(recording)
            if not self.hand.takes(raw.clip_id):
                recording.dropped.append(self.hand.dropped(raw.clip_id, unit))
                continue
            try:
                self._begin(recording, cuts.get(raw.clip_id, []), dropped.get(raw.clip_id, []))
            except NothingHeardError as error:
                recording.drop(error.reason, error.detail)
            if self.hand.careful:
                self._finish([recording])
        if not self.hand.careful:
            self._finish(recordings)
        drafts = [draft for recording in recordings for draft in recording.drafts]
        seconds = {f"{domain}_s": seconds_of(drafts, domain) for domain in (SPEECH, SOUND, MUSIC)}
        return ShardResult(
            rows=[draft.row() for draft in drafts],
            dropped=[report for recording in recordings for report in recording.dropped],
            statistics={"audio_s": sum(seconds.values()), **seconds},
            work=dict(self._work),
        )

    def _begin(self, recording: _Recording, before: list[Cut], dropped: list[Dropped]) -> None:
        """Cut, or take over the cuts of an older version."""
        raw = recording.raw
        if not self._limits.has(raw.clip_id):
            raise NothingHeardError("over_limit", f"{raw.domain}: beyond the job's limit")
        if raw.medium == "text":
            recording.drafts = list(self._passages(raw))
        elif self._is_as_before(raw, before):
            recording.drafts = [draft_again(raw, row, self._annotators) for row in before]
            recording.dropped = [Dropped(row_id=one.row_id, reason=one.reason, detail=one.detail) for one in dropped]
        else:
            self._cut(recording)

    def _is_as_before(self, raw: Raw, before: list[Cut]) -> bool:
        """Whether the source says the same, and a text that is shared by what was heard needs nobody to listen again."""
        if not before or any(said_by(raw) not in row.asked for row in before):
            return False
        if (
            raw.given_text is None
            or raw.given_words
            or raw.num_samples <= self._job.max_speech_clip_s * raw.sample_rate
        ):
            return True
        now = {f"{one.name} {version_of(one)}" for one in self._annotators if _READS_TRANSCRIPT in one.writes}
        return all(now <= set(row.asked) for row in before)

    def _passages(self, raw: Raw) -> Iterator[Draft]:
        cuts = cutting.cut_text(raw.text or "", self._job.max_passage_characters)
        limit = self._job.max_passages_per_document or len(cuts)
        for index in cutting.spread(len(cuts), limit):
            first, text = cuts[index]
            yield passage_of(raw, first, text, is_whole=len(cuts) == 1)

    def _cut(self, recording: _Recording) -> None:
        raw, shortest = recording.raw, self._job.min_clip_s
        seconds = raw.num_samples / raw.sample_rate
        if seconds < shortest:
            raise NothingHeardError("too_short", f"{seconds:.3f} s, at least {shortest} s")
        hearing = recording.hearing = self._listen(raw)
        if hearing.peak < _SILENT_BELOW:
            raise NothingHeardError("silent", "no sample above -80 dBFS")
        together = self._limits.shortest_part_s.get(raw.clip_id, seconds)
        stretches, left_out = segmentation.segment(raw, hearing, self._job, together)
        is_whole = len(stretches) == 1 and stretches[0].cut.num_samples == raw.num_samples
        recording.drafts = [draft_of(raw, stretch, is_whole=is_whole) for stretch in stretches]
        for one in left_out:
            stretch = "stretch" if one.num_stretches == 1 else "stretches"
            recording.drop(one.reason, f"{one.num_samples / raw.sample_rate:.3f} s in {one.num_stretches} {stretch}")
        if is_whole:
            give_times(raw, recording.drafts[0])
        recording.shares_text = raw.given_text is not None and not is_whole and bool(recording.drafts)

    def _listen(self, raw: Raw) -> Hearing:
        from uniaudio.audio.render import open_raw

        self._work["listened_s"] += raw.num_samples / raw.sample_rate
        with open_raw(self._store, raw) as reader:
            return listen(reader, raw, self._voice)

    def _share_text(self, recording: _Recording) -> None:
        """The given text to its cuts; where it does not fit what was heard, the recording stays whole or is dropped."""
        raw, hearing = recording.raw, recording.hearing
        fits = share_text(raw, recording.drafts)
        if fits is None or hearing is None:
            return
        if raw.num_samples <= self._job.max_whole_speech_s * raw.sample_rate:
            recording.drafts = [draft_of(raw, segmentation.whole(raw, hearing), is_whole=True)]
            self._annotate([recording])
        else:
            recording.drafts, recording.dropped = [], []
            recording.drop(
                "unaligned_text",
                f"{raw.num_samples / raw.sample_rate:.1f} s whose given text fits {fits:.0%} of what is heard",
            )

    def _finish(self, recordings: Sequence[_Recording]) -> None:
        """Annotate; then share the given texts that wait for what was heard."""
        self._annotate(recordings)
        for recording in recordings:
            if recording.shares_text:
                self._share_text(recording)

    def _annotate(self, recordings: Sequence[_Recording]) -> None:
        """Ask every annotator about every cut that it was not asked about."""
        waiting: list[tuple[_Recording, Draft]] = []
        seconds = 0.0
        for recording in recordings:
            for draft in recording.drafts:
                self._count(draft)
                if any(draft.needs(annotator) for annotator in self._annotators):
                    waiting.append((recording, draft))
                    seconds += draft.columns.get("num_samples", 0) / (draft.columns.get("sample_rate") or 1)
                if seconds >= _BATCH_S:
                    self._ask(waiting)
                    waiting, seconds = [], 0.0
        self._ask(waiting)

    def _count(self, draft: Draft) -> None:
        concerned = [one for one in self._annotators if draft.domain in one.domains]
        num_asked = sum(draft.needs(one) for one in concerned)
        self._work["computed"] += num_asked
        self._work["reused"] += len(concerned) - num_asked

    def _ask(self, waiting: Sequence[tuple[_Recording, Draft]]) -> None:
        with ExitStack() as files:
            clips = [self._clip(recording, draft, files) for recording, draft in waiting]
        for annotator in self._annotators:
            places = [place for place, (_, draft) in enumerate(waiting) if draft.needs(annotator)]
            for place in places:
                clips[place].known = self._known_to(annotator, waiting[place][1])
            started = time.process_time()
            answers = ask(annotator, [clips[place] for place in places])
            if places:
                self._work[f"{annotator.name}_cpu_s"] += time.process_time() - started
            for place, values in zip(places, answers, strict=True):
                waiting[place][1].fill(annotator, values)

    def _known_to(self, annotator: Annotator, draft: Draft) -> dict[str, Any]:
        """What an annotator sees: what the source and those before it say, as in a run that asks all of them."""
        later = {one.name for one in self._annotators[self._annotators.index(annotator) :]}
        unseen = {note.value for note in draft.notes if note.annotator in later}
        return {name: value for name, value in draft.known.items() if name not in unseen}

    def _clip(self, recording: _Recording, draft: Draft, files: ExitStack) -> Clip:
        from uniaudio.audio.render import open_raw
        from uniaudio.audio.resample import resample

        raw, columns = recording.raw, draft.columns
        if draft.domain == "text":
            return Clip(raw=raw, domain="text", text=columns["text"])
        if recording.hearing is None:
            recording.hearing = self._listen(raw)
        cut = cutting.Cut(first_sample=columns["first_sample"], num_samples=columns["num_samples"])
        reader = files.enter_context(open_raw(self._store, raw))
        samples = reader.read(cut.first_sample, cut.num_samples)
        return Clip(
            raw=raw,
            domain=draft.domain,
            first_sample=cut.first_sample,
            samples=samples,
            analysis=np.asarray(resample(reader.mono(samples), raw.sample_rate, RATE), np.float32),
            speech_probabilities=recording.hearing.part(cut),
        )


def _check_versions(plan: Plan, annotators: list[Annotator], models: Path) -> None:
    """A machine with other models than the one that planned would answer in the name of theirs."""
    planned = plan.parameters["annotators"]
    for one in annotators:
        if (version := version_of(one)) != planned[one.name]:
            raise DataError(
                f"{models}: `{one.name}` must be {planned[one.name]}, as planned, but is {version} on this machine."
            )


def _one_thread() -> None:
    """A worker has one core; two threads on it wait for each other, and their sums differ."""
    import torch

    torch.set_num_threads(1)
