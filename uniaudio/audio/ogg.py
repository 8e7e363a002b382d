"""Ogg: which files lie one behind the other in it (a chain, as captures of broadcasts are), and whether pages are missing.

Reads   the header of each page; never its contents but for a stream's first bytes
Gives   a part for each link of the chain, for instance `Part(pieces=((0, 11357),))`

libsndfile stops behind the first link, and FFmpeg drops a block of samples at the start of each further one, so each
link is read as the file it is. Source: RFC 3533.
"""

from dataclasses import dataclass, field
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio.audio.part import Layout, Part
from uniaudio.audio.tags import WINDOW, Window, skip_tags

_MARK = b"OggS\0"
_HEADER_BYTES = 27
_FIRST, _LAST = 2, 4
"""Bits of a page's flags: a stream begins, a stream ends."""
_LIBSNDFILE = (b"\x01vorbis", b"OpusHead")
_MAX_LINKS = 100_000


@dataclass(kw_only=True, slots=True)
class _Link:
    start: int
    stop: int
    streams: dict[int, bytes] = field(default_factory=dict)
    """The first bytes of each stream by its number."""
    next_pages: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    num_missing: int = 0
    has_data: bool = False
    """Whether a page came that begins no stream: the next one that does begins a link."""

    @property
    def sounds(self) -> list[bytes]:
        return [head for head in self.streams.values() if head.startswith(_SOUND)]


_SOUND = (*_LIBSNDFILE, b"\x7fFLAC", b"Speex   ", b"fLaC")


def lay_out_ogg(file: Any, start: int, stop: int, name: str, layout: Layout) -> None:
    links, torn = _walk(Window(file, stop), start, layout)
    links = [link for link in links if link.sounds]
    if not links:
        raise DataError(f"{name}: is not an audio file that can be read: its Ogg streams hold no audio.")
    if torn and not links[-1].ended:
        raise DataError(f"{name}: is cut short: its last page ends {torn} bytes behind the end of the file.")
    if not links[-1].ended:
        layout.note("no_end_mark", "the last page is not marked as the last")
    if len(links) > 1:
        layout.note("chained_streams", f"{len(links)} streams, one behind the other")
    if num_missing := sum(link.num_missing for link in links):
        layout.note("missing_pages", f"{num_missing} pages")
    for link in links:
        simple = len(link.streams) == 1 and link.sounds[0].startswith(_LIBSNDFILE)
        demuxer = None if simple else "ogg"
        pieces = ((link.start, link.stop),)
        layout.parts.append(Part(pieces=pieces, demuxer=demuxer, fallback="ogg", is_exact=simple))


def _walk(window: Window, position: int, layout: Layout) -> tuple[list[_Link], int]:
    """The links, and by how many bytes the last page reaches beyond the file."""
    links = list[_Link]()
    while position < window.stop and len(links) < _MAX_LINKS:
        head = window.at(position, _HEADER_BYTES + 255)
        if head[:5] != _MARK or len(head) < _HEADER_BYTES:
            next_page = _find(window, position)
            if junk := window.count_junk(skip_tags(window, position), next_page):
                layout.note("junk_behind_audio" if next_page == window.stop else "junk_between_frames", f"{junk} bytes")
            position = next_page
            continue
        first = position + _HEADER_BYTES + head[26]
        end = first + sum(head[_HEADER_BYTES : _HEADER_BYTES + head[26]])
        if end > window.stop or first > window.stop:
            return links, end - window.stop
        _add(links, window, head, position, first, end)
        position = end
    return links, 0


def _add(links: list[_Link], window: Window, head: bytes, position: int, first: int, end: int) -> None:
    flags, stream, page = head[5], int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    if flags & _FIRST and (not links or links[-1].has_data or stream in links[-1].streams):
        links.append(_Link(start=position, stop=position))
    if not links:
        links.append(
            _Link(start=position, stop=position)
        )  # a capture that begins in mid-stream: nothing to decode it by
    link = links[-1]
    link.stop = end
    if flags & _FIRST:
        link.streams[stream] = window.at(first, min(8, end - first))
    else:
        link.has_data = True
        link.num_missing += max(0, page - link.next_pages.get(stream, page))
    link.next_pages[stream] = page + 1
    if flags & _LAST:
        link.ended.add(stream)


def _find(window: Window, position: int) -> int:
    """Where the next page behind `position` begins, or the end."""
    while (position := position + 1) < window.stop:
        data = window.at(position, min(WINDOW // 2, window.stop - position))
        offset = data.find(_MARK)
        if offset >= 0:
            return position + offset
        position += max(0, len(data) - len(_MARK))
    return window.stop
