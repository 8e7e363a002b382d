"""What a recording is made of: stretches of speech, sound and music, and what lies between them.

Reads    a `Hearing`: where somebody speaks and how loud it is, a value each 32 ms
Gives    [Stretch(domain="speech", cut=Cut(first_sample=12800, num_samples=97280), …), …] and what is left out, with its reason

The domain is one of stretches, not of recordings: a talk with pauses is speech where somebody talks. Speech is found by the
voice-activity detector; without words, a stretch is sound or music, which nobody measures here: by its length, marked as a guess.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.kinds.annotated import Annotation
from uniaudio_schemas.kinds.raw import Raw

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE as RATE
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY, VoiceActivity
from uniaudio_pipelines.raw_to_annotated.cutting import Cut, cut_at_pauses, cut_evenly
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated

_SPEECH_FROM = 0.4
"""Share of frames with speech from which a recording of unknown domain is speech, whatever lies between."""
_NO_SPEECH_BELOW = 0.02
_MUSIC_FROM_S = 30.0
"""Stretches of unknown domain without speech: effects are short, pieces of music are long. A guess, and marked as one."""
_GUESS = 0.5
_PAUSE_DB = 10.0
"""A stretch without speech that is so much quieter than the speech is a pause; louder, it is sound or music by itself. A choice, not measured."""
_MIN_SPEECH_S = 0.5
"""Least speech in a region; less is a cough or a false alarm."""
_PADDING = 6
"""Frames (0.2 s) kept around speech: words begin before the detector is sure."""
_MIN_SOUND_S = 5.0
"""Least length of a loud stretch between speech; shorter ones are left out."""


class NothingHeardError(Exception):
    """This recording makes no row, for `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Hearing:
    """A whole recording at 32 ms a value."""

    speech: np.ndarray
    """`[F]` float32, probability that somebody speaks; empty where nobody was asked."""
    power: np.ndarray
    """`[F]` float32, mean square."""
    num_samples: int
    """Length of the recording at its own `sample_rate`."""
    sample_rate: int
    peak: float

    @property
    def frame_samples(self) -> float:
        """Samples of the recording a frame."""
        return FRAME * self.sample_rate / RATE

    @property
    def is_speech(self) -> np.ndarray:
        return self.speech >= SPEECH_PROBABILITY

    def part(self, cut: Cut) -> np.ndarray:
        """The speech probabilities of a cut."""
        first, last = cut.first_sample / self.frame_samples, (cut.first_sample + cut.num_samples) / self.frame_samples
        return self.speech[int(first) : int(np.ceil(last))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    domain: str
    cut: Cut
    decision: Annotation
    """Annotation that says why the stretch is of this domain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    reason: str
    num_samples: int
    num_stretches: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Region:
    """Frames `first` to `last` (exclusive) between which no pause is longer than the job allows."""

    first: int
    last: int


def segment(
    raw: Raw, hearing: Hearing, job: RawToAnnotated, shortest_part_s: float
) -> tuple[list[Stretch], list[LeftOut]]:
    """The stretches of a recording in order, and what is in none of them. `NothingHeardError` where there is none."""
    domain, decision = _domain(raw, hearing)
    if domain is None:
        stretches = _of_talk(raw, hearing, job)
    elif domain == SPEECH:
        whole = raw.given_text is not None or not len(hearing.speech)
        longest = int(job.max_speech_clip_s * raw.sample_rate)
        if whole or raw.num_samples <= longest:
            cuts = _speech_cuts(hearing, Cut(first_sample=0, num_samples=raw.num_samples), longest)
            stretches = [Stretch(domain=SPEECH, cut=cut, decision=decision) for cut in cuts]
        else:
            stretches = _of_talk(raw, hearing, job, decision)
    else:
        stretches = _evenly(raw, domain, decision, job, shortest_part_s)
    shortest = job.min_clip_s * raw.sample_rate
    long_stretches = [stretch for stretch in stretches if stretch.cut.num_samples >= shortest]
    return long_stretches, _left_out(raw, domain, long_stretches, stretches, job)


def whole(raw: Raw, hearing: Hearing) -> Stretch:
    """All of a recording as one stretch: of speech where speech and something else take turns."""
    domain, decision = _domain(raw, hearing)
    return Stretch(domain=domain or SPEECH, cut=Cut(first_sample=0, num_samples=raw.num_samples), decision=decision)


def _domain(raw: Raw, hearing: Hearing) -> tuple[str | None, Annotation]:
    """Domain of the whole recording; None where speech and something else take turns."""
    has_speech_frames = len(hearing.speech) > 0
    fraction = float(hearing.is_speech.mean()) if has_speech_frames else 0.0
    voice = Annotation(
        value="domain", annotator=VoiceActivity.name, version=VoiceActivity.version(), confidence=fraction
    )
    if raw.domain != "unknown":
        if raw.domain == SPEECH and has_speech_frames and fraction < _NO_SPEECH_BELOW:
            raise NothingHeardError("no_speech", f"speech in {fraction:.1%} of it")
        return raw.domain, Annotation(value="domain", annotator="source", version="metadata", confidence=1.0)
    if fraction >= _SPEECH_FROM:
        return SPEECH, voice
    if has_speech_frames and _is_talk(hearing):
        return None, voice
    return _by_length(raw.num_samples / raw.sample_rate)


def _by_length(seconds: float) -> tuple[str, Annotation]:
    decision = Annotation(value="domain", annotator="length", version="1", confidence=_GUESS)
    return (MUSIC if seconds >= _MUSIC_FROM_S else SOUND), decision


def _is_talk(hearing: Hearing) -> bool:
    """Whether there is enough speech, and most of what lies between is quieter."""
    speech = hearing.is_speech
    if speech.sum() * FRAME < _MIN_SPEECH_S * RATE:
        return False
    loud = _decibels(hearing.power[~speech]) > _speech_db(hearing) - _PAUSE_DB
    return float(loud.mean()) < 0.5


def _speech_db(hearing: Hearing) -> float:
    return float(_decibels(hearing.power[hearing.is_speech].mean(keepdims=True))[0])


def _decibels(power: np.ndarray) -> np.ndarray:
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)))


def _of_talk(raw: Raw, hearing: Hearing, job: RawToAnnotated, decision: Annotation | None = None) -> list[Stretch]:
    """Speech cut out of its pauses; loud stretches between are sound or music of their own."""
    regions = list(_regions(hearing, job.max_pause_s))
    voice = decision or _domain(raw, hearing)[1]
    longest = int(job.max_speech_clip_s * raw.sample_rate)
    stretches = [
        Stretch(domain=SPEECH, cut=cut, decision=voice)
        for region in regions
        for cut in _speech_cuts(hearing, _as_cut(region, hearing), longest)
    ]
    for gap in _gaps(regions, len(hearing.speech)):
        cut, seconds = _as_cut(gap, hearing), (gap.last - gap.first) * FRAME / RATE
        level = float(_decibels(hearing.power[gap.first : gap.last].mean(keepdims=True))[0])
        if seconds >= _MIN_SOUND_S and level > _speech_db(hearing) - _PAUSE_DB:
            domain, guess = _by_length(seconds)
            piece = int(job.max_sound_clip_s * raw.sample_rate)
            stretches += [
                Stretch(domain=domain, cut=_moved(part, cut.first_sample), decision=guess)
                for part in cut_evenly(cut.num_samples, piece, job.max_pieces_per_clip, cut.num_samples)
            ]
    return sorted(stretches, key=lambda stretch: stretch.cut.first_sample)


def _regions(hearing: Hearing, max_pause_s: float) -> Iterator[_Region]:
    speech, longest_pause = hearing.is_speech, max(1, round(max_pause_s * RATE / FRAME))
    places = np.flatnonzero(speech)
    if not len(places):
        return
    breaks = np.flatnonzero(np.diff(places) > longest_pause)
    firsts = places[np.concatenate([[0], breaks + 1])]
    lasts = places[np.concatenate([breaks, [len(places) - 1]])] + 1
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        if speech[first:last].sum() * FRAME >= _MIN_SPEECH_S * RATE:
            yield _Region(first=max(0, first - _PADDING), last=min(len(speech), last + _PADDING))


def _gaps(regions: list[_Region], num_frames: int) -> Iterator[_Region]:
    borders = [0, *(border for region in regions for border in (region.first, region.last)), num_frames]
    for first, last in zip(borders[::2], borders[1::2], strict=True):
        if last > first:
            yield _Region(first=first, last=last)


def _as_cut(region: _Region, hearing: Hearing) -> Cut:
    first = round(region.first * hearing.frame_samples)
    last = min(round(region.last * hearing.frame_samples), hearing.num_samples)
    return Cut(first_sample=first, num_samples=last - first)


def _moved(cut: Cut, samples: int) -> Cut:
    return Cut(first_sample=cut.first_sample + samples, num_samples=cut.num_samples)


def _speech_cuts(hearing: Hearing, cut: Cut, max_samples: int) -> list[Cut]:
    """The cut in pieces of `max_samples` at most, divided at pauses."""
    activity = (
        hearing.speech if len(hearing.speech) else hearing.power / max(float(hearing.power.max(initial=0)), 1e-12)
    )
    first, last = cut.first_sample / hearing.frame_samples, (cut.first_sample + cut.num_samples) / hearing.frame_samples
    part = activity[int(first) : int(np.ceil(last))]
    pieces = cut_at_pauses(cut.num_samples, part, hearing.frame_samples, max_samples)
    return [_moved(piece, cut.first_sample) for piece in pieces]


def _evenly(raw: Raw, domain: str, decision: Annotation, job: RawToAnnotated, shortest_part_s: float) -> list[Stretch]:
    piece, together = int(job.max_sound_clip_s * raw.sample_rate), int(shortest_part_s * raw.sample_rate)
    cuts = cut_evenly(raw.num_samples, piece, job.max_pieces_per_clip, together)
    return [Stretch(domain=domain, cut=cut, decision=decision) for cut in cuts]


def _left_out(
    raw: Raw, domain: str | None, kept: list[Stretch], made: list[Stretch], job: RawToAnnotated
) -> list[LeftOut]:
    """What of the recording is in no cut: pauses of speech, rests and unused pieces of sound and music, cuts that are too short."""
    short = [stretch for stretch in made if stretch not in kept]
    rests = []
    if short:
        samples = sum(stretch.cut.num_samples for stretch in short)
        rests.append(LeftOut(reason="too_short", num_samples=samples, num_stretches=len(short)))
    borders, end = [], 0
    for stretch in made:
        if stretch.cut.first_sample > end:
            borders.append(stretch.cut.first_sample - end)
        end = max(end, stretch.cut.first_sample + stretch.cut.num_samples)
    borders += [raw.num_samples - end] if raw.num_samples > end else []
    if borders:
        of_speech = domain in (SPEECH, None)
        reason = "pause" if of_speech else "over_limit" if job.max_pieces_per_clip else "rest"
        rests.append(LeftOut(reason=reason, num_samples=sum(borders), num_stretches=len(borders)))
    return rests
