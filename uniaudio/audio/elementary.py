"""Streams of frames without a container, MP1/2/3 and AAC in ADTS: where their frames lie, counted and not estimated.

Reads   the whole file once, header by header
Gives   runs of frames, for instance `Run(ranges=[(45, 31796)], num_frames=156, …)`

Every frame's header says how long the frame is, so the number of samples is known without decoding. Tags and junk
between frames are stepped over. A Xing or VBRI frame starts a new run, because it is the first frame of a file of its
own: files that were put one behind the other are told apart by it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio.audio.frame_headers import Header, VbrTag, adts_header, mpeg_header, vbr_tag
from uniaudio.audio.part import Layout, Part
from uniaudio.audio.splice import Piece
from uniaudio.audio.tags import WINDOW, Window, tag_size

_CONFIRMING = 3
"""Frames in a row that are taken for audio where none was before: by chance two bytes in 4,000 look like a header."""
_SLACK_FRAMES = 2
"""Frames fewer than the tag says that are no sign of a cut: tools that edit MP3 leave the count as it was."""
_TAG_NAMES = rb"ID3|APETAGEX|LYRICSBEGIN|TAG"
_PATIENCE = 1_000_000
"""Places in junk that looked like a header and were none, after which all the rest is junk: seconds, not hours."""
_OVERLAP = 16
"""Bytes; more than a header or a tag's name has."""


@dataclass(kw_only=True, slots=True)
class Run:
    """Frames of one kind that follow one another, perhaps with junk between them."""

    header: Header
    """Header of the first frame."""
    tag: VbrTag | None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """Bytes `start … stop` of the file that are its frames, the one with the tag among them."""
    num_frames: int = 0
    """Frames without the one that holds the tag."""
    frame_bytes: set[int] = field(default_factory=set)
    """The sizes of its frames, of which a constant bit rate has two at most (the second is a byte longer)."""


@dataclass(kw_only=True, slots=True)
class Walk:
    """All runs, and how many bytes belong to none of them and to no tag."""

    runs: list[Run] = field(default_factory=list)
    junk_before: int = 0
    junk_between: int = 0
    junk_behind: int = 0
    partial_bytes: int = 0
    """Bytes that are there of a last frame which is cut."""


@dataclass(frozen=True, slots=True)
class Syntax:
    parse: Callable[[int], Header | None]
    header_bytes: int
    pattern: re.Pattern[bytes]
    """What may be a header or a tag, for the search behind junk; it looks ahead, so that matches may overlap."""


MPEG = Syntax(mpeg_header, 4, re.compile(rb"(?=\xff[\xe2-\xe7\xf2-\xff][\x10-\xef]|" + _TAG_NAMES + rb")"))
ADTS = Syntax(adts_header, 7, re.compile(rb"(?=\xff[\xf0\xf1\xf8\xf9]|" + _TAG_NAMES + rb")"))


class Walker:
    """Walks over the frames of `file` up to byte `stop`."""

    def __init__(self, file: Any, syntax: Syntax, stop: int) -> None:
        self._window, self._syntax, self._stop = Window(file, stop), syntax, stop
        self._patience = _PATIENCE

    def walk(self, start: int) -> Walk:
        """All frames from byte `start` on."""
        walk, position, in_step = Walk(), start, False
        while position < self._stop:
            run = walk.runs[-1] if walk.runs else None
            header = self._header(position)
            if header and (run and header.like(run.header) if in_step else self._begins(position, header, run)):
                if position + header.size > self._stop:
                    walk.partial_bytes = self._stop - position
                    break
                self._add(walk, position, header)
                position, in_step = position + header.size, True
            elif size := tag_size(self._window, position):
                position, in_step = position + size, False
            elif in_step:
                in_step = False  # perhaps frames of another kind begin here
            else:
                position = self._skip_junk(walk, position)
        return walk

    def find(self, start: int, stop: int, run: Run | None = None, *, tags: bool = False) -> int | None:
        """The first byte in `start … stop` at which frames begin (or a tag, with `tags`)."""
        for position in self._candidates(start, stop):
            self._patience -= 1
            if self._patience < 0:
                return None
            header = self._header(position)
            if header and self._begins(position, header, run):
                return position
            if tags and tag_size(self._window, position):
                return position
        return None

    def _candidates(self, start: int, stop: int) -> Iterator[int]:
        while start < stop:
            data = self._window.at(start, min(WINDOW // 2, stop + _OVERLAP - start))
            limit = min(stop - start, max(1, len(data) - _OVERLAP) if len(data) > _OVERLAP else len(data))
            for match in self._syntax.pattern.finditer(data):
                if match.start() >= limit:
                    break
                yield start + match.start()
            start += max(1, limit)

    def _skip_junk(self, walk: Walk, position: int) -> int:
        run = walk.runs[-1] if walk.runs else None
        next_frame = self.find(position + 1, self._stop, run, tags=True)
        junk = self._window.count_junk(position, self._stop if next_frame is None else next_frame)
        if run is None:
            walk.junk_before += junk
        elif next_frame is None:
            walk.junk_behind += junk
        else:
            walk.junk_between += junk
        return self._stop if next_frame is None else next_frame

    def _header(self, position: int) -> Header | None:
        data = self._window.at(position, self._syntax.header_bytes)
        return self._syntax.parse(int.from_bytes(data)) if len(data) == self._syntax.header_bytes else None

    def _begins(self, position: int, header: Header, run: Run | None) -> bool:
        """Whether enough frames of one kind follow one another, or as many as there are up to the end or a tag."""
        num_needed = _CONFIRMING - (run is not None and header.like(run.header))
        for _ in range(num_needed - 1):
            position += header.size
            if position >= self._stop or tag_size(self._window, position):
                return position <= self._stop
            following = self._header(position)
            if following is None or not following.like(header):
                return False
            header = following
        return True

    def _add(self, walk: Walk, position: int, header: Header) -> None:
        tag = vbr_tag(self._window.at(position, header.size), header.side_bytes) if header.side_bytes else None
        if not walk.runs or tag or not header.like(walk.runs[-1].header):
            walk.runs.append(Run(header=header, tag=tag))
        run, stop = walk.runs[-1], position + header.size
        if tag is None:
            run.num_frames += 1
            run.frame_bytes.add(header.size)
        if run.ranges and run.ranges[-1][1] == position:
            position = run.ranges.pop()[0]
        run.ranges.append((position, stop))


def lay_out_frames(file: Any, syntax: Syntax, span: tuple[int, int], name: str, layout: Layout) -> None:
    """Adds a part for each run in the bytes `span`."""
    walk = Walker(file, syntax, span[1]).walk(span[0])
    runs = [run for run in walk.runs if run.num_frames]
    if not runs:
        raise DataError(f"{name}: holds no samples: it has no whole frame of sound.")
    for kind, junk in (
        ("before_audio", walk.junk_before),
        ("between_frames", walk.junk_between),
        ("behind_audio", walk.junk_behind),
    ):
        if junk:
            layout.note(f"junk_{kind}", f"{junk} bytes")
    if len(runs) > 1:
        layout.note("chained_streams", f"{len(runs)} streams of frames, one behind the other")
    for run in runs:
        layout.parts.append(_part(run, name, layout))
    if walk.partial_bytes:
        layout.note("partial_last_frame", f"{walk.partial_bytes} bytes of it are there")


def _part(run: Run, name: str, layout: Layout) -> Part:
    pieces: tuple[Piece, ...] = tuple(run.ranges)
    if run.header.codec == "aac":  # whose frames may decode to twice the samples at twice the rate
        return Part(pieces=pieces, demuxer="aac", is_exact=False)
    tag, num_frames, in_frame = run.tag, run.num_frames, run.header.num_samples
    promised = tag.num_frames if tag else None
    if promised is None and max(run.frame_bytes) > min(run.frame_bytes) + 4:
        layout.note("unknown_length", "no Xing or VBRI tag, and the bit rate varies")
    if promised is not None and promised > num_frames + _SLACK_FRAMES:
        raise DataError(f"{name}: is cut short: {num_frames} of {promised} frames of {in_frame} samples.")
    if promised is not None and abs(promised - num_frames) > 1:  # some encoders count the tag's own frame
        kind = "longer_than_header" if num_frames > promised else "shorter_than_header"
        layout.note(kind, f"{num_frames} frames of {in_frame} samples, the header says {promised}")
    if tag and promised is not None and promised != num_frames:
        # FFmpeg leaves out the padding where it takes the end to be.
        first = run.ranges[0][0]
        at = first + tag.field_offset
        pieces = ((first, at), num_frames.to_bytes(4), (at + 4, run.ranges[0][1]), *run.ranges[1:])
    num_samples = tag.trimmed(num_frames * in_frame) if tag else num_frames * in_frame
    return Part(pieces=pieces, demuxer="mp3", num_samples=num_samples, is_exact=False)
