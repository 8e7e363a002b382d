"""Decode one audio file once and cut its clips out of it into FLAC, block by block: memory does not grow with the file.

Reads    a file, or the bytes of one that lay in a container
Gives    Cut(num_samples=31744, channels=1, offset=81920, num_bytes=40211, audio_sha256="…", …) for each wanted clip

Overlapping clips are written side by side. A file is decoded a second time where its level turns out to need a gain, which is known at its
end.
"""

# Shapes: C channels, N samples

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import NO_LANDMARKS

from uniaudio_pipelines.source_to_raw.clips import Wanted
from uniaudio_pipelines.source_to_raw.hearing import Slice, landmarks_of

MAX_FLAC_CHANNELS = 8
MAX_AT_ONCE = 256
"""Clips that overlap in one place: each has a file open."""


class DropError(Exception):
    """This makes no row, for `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """A file to decode."""

    source: Path | bytes
    suffix: str
    name: str
    """Name of the file in messages."""
    sample_rate: int
    """Sample rate as probed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """One clip in the file of all FLACs."""

    wanted: Wanted
    sample_rate: int
    num_samples: int
    channels: int
    offset: int
    num_bytes: int
    audio_sha256: str
    gain: float
    problems: tuple[str, ...]
    mono_channel: int | None = None
    landmarks: np.ndarray = field(default_factory=lambda: NO_LANDMARKS)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoCut:
    """A wanted clip that makes no row."""

    wanted: Wanted
    reason: str
    detail: str


@dataclass(slots=True)
class _Take:
    """A clip that is being written."""

    wanted: Wanted
    sample_rate: int
    gain: float
    file: IO[bytes]
    num_samples: int = 0
    channels: int = 0
    _flac: Any = None
    _digest: Any = None

    def add(self, block_CN: np.ndarray) -> None:
        channel = self.wanted.channel
        if channel is not None:
            block_CN = block_CN[channel : channel + 1]
        pcm_CN = pcm16(block_CN if self.gain == 1 else block_CN * np.float32(self.gain))
        if self._flac is None:
            self._start(len(pcm_CN))
        self._flac.write(pcm_CN.T)
        self._digest.update(np.ascontiguousarray(pcm_CN.T, "<i2").data)
        self.num_samples += pcm_CN.shape[1]

    def _start(self, channels: int) -> None:
        import soundfile

        self.channels = channels
        try:
            self._flac = soundfile.SoundFile(self.file, "w", self.sample_rate, channels, "PCM_16", format="FLAC")
        except soundfile.LibsndfileError as error:
            raise DropError("unsupported", f"{self.sample_rate} Hz cannot be stored as FLAC: {error}") from error
        self._digest = hashlib.sha256(f"{self.sample_rate} {channels}\n".encode())

    def end(self, pool: IO[bytes]) -> Cut:
        """Move the finished FLAC behind the others."""
        self._flac.close()
        offset = pool.seek(0, 2)
        self.file.seek(0)
        shutil.copyfileobj(self.file, pool, 1 << 20)
        self.file.close()
        return Cut(
            wanted=self.wanted,
            sample_rate=self.sample_rate,
            num_samples=self.num_samples,
            channels=self.channels,
            offset=offset,
            num_bytes=pool.tell() - offset,
            audio_sha256=self._digest.hexdigest(),
            gain=self.gain,
            problems=self.wanted.problems,
        )

    def give_up(self) -> None:
        if self._flac is not None:
            self._flac.close()
        self.file.close()


def cut(sound: Sound, clips: Sequence[Wanted], pool: IO[bytes], folder: str, min_s: float) -> list[Cut | NoCut]:
    """The clips, those that ended first before the others, their FLACs appended to `pool`; `clips` are by beginning. DropError where the
    file cannot be decoded or holds nothing; then nothing was appended."""
    start, gain = pool.seek(0, 2), 1.0
    while True:
        run = _Run(sound, clips, pool, folder, min_s, gain)
        try:
            made, needed = run.run(), run.needed_gain()
        except DataError as error:
            pool.truncate(start)
            raise DropError("unreadable", str(error).replace(f"{sound.name}: ", "")) from error
        except DropError:
            pool.truncate(start)
            raise
        if needed == gain:
            return [run.heard(one) if isinstance(one, Cut) else one for one in made]
        pool.truncate(start)
        gain = needed


class _Run:
    """One decoding of a file."""

    def __init__(
        self, sound: Sound, clips: Sequence[Wanted], pool: IO[bytes], folder: str, min_s: float, gain: float
    ) -> None:
        from uniaudio.audio.levels import Levels

        self._sound, self._pool, self._folder, self._min_s = sound, pool, folder, min_s
        self._gain = gain
        self._todo = list(reversed(clips))
        self._active: list[_Take] = []
        self._made: list[Cut | NoCut] = []
        self._levels = Levels()
        self._report: list[Any] = []
        self._rate, self._position = sound.sample_rate, 0

    def run(self) -> list[Cut | NoCut]:
        try:
            for block_CN in self._blocks():
                self._levels.add(block_CN)
                self._begin(self._position + block_CN.shape[1], block_CN.shape[0])
                self._feed(block_CN)
                self._position += block_CN.shape[1]
            if not self._position:
                raise DropError("empty", f"0.000 s, at least {self._min_s} s")
            for take in self._active:
                self._made.append(self._end(take))
            self._active = []
        finally:
            for take in self._active:
                take.give_up()
        detail = f"begins at {{:.3f}} s of {self._position / self._rate:.3f} s"
        self._made += [
            NoCut(wanted=clip, reason="outside_file", detail=detail.format(clip.first_sample / self._rate))
            for clip in reversed(self._todo)
        ]
        problems = self._problems()
        return [
            replace(one, problems=(*one.problems, *problems)) if isinstance(one, Cut) else one for one in self._made
        ]

    def _blocks(self) -> Iterator[np.ndarray]:
        from uniaudio.audio.read import read_blocks

        sound = self._sound
        yield from read_blocks(sound.source, suffix=sound.suffix, name=sound.name, problems=self._report)

    def needed_gain(self) -> float:
        """What the levels of the whole file ask for."""
        from uniaudio.audio.levels import full_scale_gain

        try:
            return full_scale_gain(self._levels, self._sound.name)
        except DataError as error:
            detail = str(error).replace(f"{self._sound.name}: ", "").removeprefix("beyond_full_scale: ")
            raise DropError("beyond_full_scale", detail) from error

    def heard(self, made: Cut) -> Cut:
        """The cut with the channel that the file is heard by, and the landmarks of what is heard."""
        from uniaudio.audio.levels import mono_channel

        channel = mono_channel(self._levels) if made.channels > 1 else None
        landmarks = landmarks_of(Slice(self._pool, made.offset, made.num_bytes), made.sample_rate, channel)
        return replace(made, mono_channel=channel, landmarks=landmarks)

    def _problems(self) -> tuple[str, ...]:
        from uniaudio.audio.levels import level_problems

        return tuple(dict.fromkeys(str(problem) for problem in (*self._report, *level_problems(self._levels))))

    def _begin(self, end: int, channels: int) -> None:
        """Start the clips that begin before sample `end`."""
        while self._todo and self._todo[-1].first_sample < end:
            clip = self._todo.pop()
            num_stored = channels if clip.channel is None else 1
            if clip.channel is not None and clip.channel >= channels:
                detail = f"channel {clip.channel} of {channels}, counted from 0"
                self._made.append(NoCut(wanted=clip, reason="no_such_channel", detail=detail))
            elif num_stored > MAX_FLAC_CHANNELS:
                detail = (
                    f"{num_stored} channels, at most {MAX_FLAC_CHANNELS}, unless `channels` is split, left or right"
                )
                self._made.append(NoCut(wanted=clip, reason="unsupported", detail=detail))
            elif len(self._active) >= MAX_AT_ONCE:
                detail = f"more than {MAX_AT_ONCE} clips in one place"
                self._made.append(NoCut(wanted=clip, reason="too_many_overlaps", detail=detail))
            else:
                file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                take = _Take(wanted=clip, sample_rate=self._rate, gain=self._gain, file=file)
                self._active.append(take)

    def _feed(self, block_CN: np.ndarray) -> None:
        going = []
        for take in self._active:
            first = max(0, take.wanted.first_sample - self._position)
            end = take.wanted.end_sample
            last = block_CN.shape[1] if end is None else min(block_CN.shape[1], end - self._position)
            if last > first:
                take.add(block_CN[:, first:last])
            if end is not None and end <= self._position + block_CN.shape[1]:
                self._made.append(self._end(take))
            else:
                going.append(take)
        self._active = going

    def _end(self, take: _Take) -> Cut | NoCut:
        if take.num_samples < max(1, self._min_s * self._rate):
            take.give_up()
            reason = "too_short" if take.num_samples else "empty"
            detail = f"{take.num_samples / self._rate:.3f} s, at least {self._min_s} s"
            return NoCut(wanted=take.wanted, reason=reason, detail=detail)
        made = take.end(self._pool)
        first, end = take.wanted.first_sample, take.wanted.end_sample
        if end is None or first + made.num_samples == end:
            return made
        where = f"{end / self._rate:.3f} of {(first + made.num_samples) / self._rate:.3f} s"
        return replace(made, problems=(*made.problems, f"ends_beyond_file: {where}"))


def pcm16(samples_CN: np.ndarray) -> np.ndarray:
    """Scaled by 2^15, as reading divides by it: 16-bit sources come back bit for bit."""
    return np.clip(np.rint(samples_CN * np.float32(32768)), -32768, 32767).astype(np.int16)
