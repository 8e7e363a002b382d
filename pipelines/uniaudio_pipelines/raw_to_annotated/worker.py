"""One shard of raw clips to annotated clips: choose, cut, ask every annotator, and write down who said what."""

from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.annotated import Annotated, Annotation
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.raw import Raw
from uniaudio_schemas.record import rows
from uniaudio_schemas.store import Dropped, Store

from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.raw_to_annotated import cutting, duplicates
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE as RATE
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH, Annotator, Clip
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY, VoiceActivity
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.selection import Selection

_SPEECH_FROM = 0.4
"""Share of frames with speech from which a clip of unknown domain is speech."""
_MUSIC_FROM_S = 30.0
"""Clips of unknown domain without speech: effects are short, pieces of music are long. A guess, and marked as one."""
_GUESS = 0.5
_NO_SPEECH_BELOW = 0.02
_SOURCE = "source"
"""Annotator of what the source itself says."""
_SAID = ("language", "speaker", "given_text")


class AnnotateWorker:
    def __init__(self, store_root: str, job: RawToAnnotated, plan: Plan) -> None:
        self._set_up(store_root, job, plan, table.load(job.annotators, Path(job.models), job.device))
        _one_thread()

    @classmethod
    def with_annotators(
        cls, store_root: str, job: RawToAnnotated, plan: Plan, annotators: list[Annotator]
    ) -> "AnnotateWorker":
        """With annotators that are made already (tests, notebooks)."""
        worker = cls.__new__(cls)
        worker._set_up(store_root, job, plan, annotators)
        return worker

    def _set_up(self, store_root: str, job: RawToAnnotated, plan: Plan, annotators: list[Annotator]) -> None:
        self._store, self._job, self._annotators = Store(store_root), job, annotators
        self._voice = next((one for one in annotators if isinstance(one, VoiceActivity)), None)
        self._raw = self._store.version_with("raw", plan.parents["raw"])
        self._selection = Selection.of(self._store, self._raw, job)

    def process(self, unit: str) -> ShardResult:
        found: list[Annotated] = []
        dropped: list[Dropped] = []
        shard = next(shard for shard in self._raw.shards if shard.unit == unit)
        for raw in rows(self._store.table_of_shard(self._raw, shard), Raw):
            try:
                found += self._annotate(raw)
            except _DropError as error:
                dropped.append(Dropped(row_id=raw.clip_id, reason=error.reason, detail=error.detail, unit=unit))
        seconds = {domain: _seconds(found, domain) for domain in (SPEECH, SOUND, MUSIC)}
        return ShardResult(
            rows=found,
            dropped=dropped,
            statistics={"audio_s": sum(seconds.values()), **{f"{name}_s": value for name, value in seconds.items()}},
        )

    def _annotate(self, raw: Raw) -> list[Annotated]:
        if raw.clip_id not in self._selection.chosen:
            raise _DropError("over_limit", f"{raw.domain}: beyond the job's limit")
        if raw.medium == "text":
            return self._passages(raw)
        return self._clips(raw)

    def _passages(self, raw: Raw) -> list[Annotated]:
        cuts = cutting.cut_text(raw.text or "", self._job.max_passage_characters)
        limit = self._job.max_passages_per_document or len(cuts)
        kept = [cuts[index] for index in cutting.spread(len(cuts), limit)]
        clips = [Clip(raw=raw, domain="text", first_sample=first, text=text) for first, text in kept]
        return [self._row(clip, [], whole=len(cuts) == 1) for clip in clips]

    def _clips(self, raw: Raw) -> list[Annotated]:
        from uniaudio.audio.render import render_raw
        from uniaudio.audio.resample import resample

        samples = render_raw(self._store, raw).samples
        if float(np.abs(samples).max(initial=0.0)) < 1e-4:
            raise _DropError("silent", "no sample above -80 dBFS")
        seconds, shortest = samples.shape[1] / raw.sample_rate, self._job.min_clip_s
        if seconds < shortest:
            raise _DropError("too_short", f"{seconds:.3f} s, at least {shortest} s")
        analysis = np.asarray(resample(samples.mean(axis=0), raw.sample_rate, RATE), np.float32).reshape(-1)
        speech = self._voice.probabilities(analysis) if self._voice else np.zeros(0, np.float32)
        domain, decision = self._domain(raw, speech)
        cuts = self._cut(raw, domain, analysis, speech)
        return [self._row(_clip(raw, domain, cut, samples, analysis, speech), decision, len(cuts) == 1) for cut in cuts]

    def _domain(self, raw: Raw, speech: np.ndarray) -> tuple[str, list[Annotation]]:
        fraction = float((speech >= SPEECH_PROBABILITY).mean()) if len(speech) else None
        if raw.domain != "unknown":
            if raw.domain == SPEECH and fraction is not None and fraction < _NO_SPEECH_BELOW:
                raise _DropError("no_speech", f"speech in {fraction:.1%} of it")
            return raw.domain, [_said("domain")]
        version = self._voice.version() if self._voice else "none"
        if fraction is not None and fraction >= _SPEECH_FROM:
            decision = Annotation(value="domain", annotator="voice_activity", version=version, confidence=fraction)
            return SPEECH, [decision]
        domain = MUSIC if raw.num_samples >= _MUSIC_FROM_S * raw.sample_rate else SOUND
        return domain, [Annotation(value="domain", annotator="length", version="1", confidence=_GUESS)]

    def _cut(self, raw: Raw, domain: str, analysis: np.ndarray, speech: np.ndarray) -> list[cutting.Cut]:
        if domain == SPEECH:
            activity = speech if len(speech) else _energy(analysis)
            longest = int(self._job.max_speech_clip_s * raw.sample_rate)
            frame_samples = FRAME * raw.sample_rate / RATE
            cuts = cutting.cut_at_pauses(raw.num_samples, activity, frame_samples, longest)
        else:
            piece = int(self._job.max_sound_clip_s * raw.sample_rate)
            together = int(self._selection.shortest_part_s[raw.clip_id] * raw.sample_rate)
            cuts = cutting.cut_evenly(raw.num_samples, piece, self._job.max_pieces_per_clip, together)
        return [cut for cut in cuts if cut.num_samples >= self._job.min_clip_s * raw.sample_rate]

    def _row(self, clip: Clip, annotations: list[Annotation], whole: bool) -> Annotated:
        raw, columns = clip.raw, _columns(clip, whole)
        notes = [*annotations, *(_said(name) for name in _SAID if columns.get(name))]
        clip.known = {name: columns[name] for name in _SAID if columns.get(name)}
        for annotator in self._annotators:
            if clip.domain not in annotator.domains:
                continue
            for value in annotator.annotate(clip):
                columns[value.column] = clip.known[value.column] = value.value
                notes.append(
                    Annotation(
                        value=value.column,
                        annotator=annotator.name,
                        version=annotator.version(),
                        confidence=value.confidence,
                    )
                )
        return Annotated(split=self._selection.splits[self._selection.group[raw.clip_id]], annotations=notes, **columns)


class _DropError(Exception):
    """This raw clip makes no row, for `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def _columns(clip: Clip, whole: bool) -> dict[str, Any]:
    """What the source and the cut say. A cut of a clip has no part of its given text: nobody said which part."""
    raw, audio = clip.raw, clip.text is None
    place = [raw.clip_id, clip.first_sample, clip.num_samples if audio else len(clip.text or "")]
    return {
        "clip_id": raw.clip_id if whole else short(hash_json(place)),
        "raw_clip_id": raw.clip_id,
        "corpus": raw.corpus,
        "path": raw.path,
        "domain": clip.domain,
        "licence": raw.licence,
        "first_sample": clip.first_sample if audio else 0,
        "num_samples": clip.num_samples,
        "sample_rate": raw.sample_rate,
        "channels": raw.channels,
        "text": clip.text,
        "language": raw.language,
        "given_text": raw.given_text if whole else None,
        "speaker": raw.speaker,
        "part_of": raw.part_of,
        "part": raw.part,
        "duplicate_cluster": _cluster(clip),
    }


def _cluster(clip: Clip) -> str:
    return duplicates.audio_cluster(clip.analysis) if clip.text is None else duplicates.text_cluster(clip.text)


def _clip(
    raw: Raw, domain: str, cut: cutting.Cut, samples: np.ndarray, analysis: np.ndarray, speech: np.ndarray
) -> Clip:
    last = cut.first_sample + cut.num_samples
    first_analysis = cut.first_sample * RATE // raw.sample_rate
    last_analysis = -(-last * RATE // raw.sample_rate)
    return Clip(
        raw=raw,
        domain=domain,
        first_sample=cut.first_sample,
        samples=samples[:, cut.first_sample : last],
        analysis=analysis[first_analysis:last_analysis],
        speech_probabilities=speech[first_analysis // FRAME : -(-last_analysis // FRAME)],
    )


def _said(column: str) -> Annotation:
    return Annotation(value=column, annotator=_SOURCE, version="metadata", confidence=1.0)


def _energy(analysis: np.ndarray) -> np.ndarray:
    """Power a frame, relative to the loudest: where to cut when nobody says where speech is."""
    num_frames = max(1, len(analysis) // FRAME)
    padded = np.zeros(num_frames * FRAME, np.float32)
    kept = analysis[: len(padded)]
    padded[: len(kept)] = kept
    power = (padded.reshape(num_frames, FRAME) ** 2).mean(axis=1)
    return power / max(float(power.max()), 1e-12)


def _seconds(found: list[Annotated], domain: str) -> float:
    return float(sum(row.num_samples / row.sample_rate for row in found if row.domain == domain))


def _one_thread() -> None:
    """A worker has one core; two threads on it wait for each other, and their sums differ."""
    import torch

    torch.set_num_threads(1)
