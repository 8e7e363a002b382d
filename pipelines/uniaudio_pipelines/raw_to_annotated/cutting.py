"""Where a long recording or document is cut: speech at pauses, music and sound at fixed places, text between
paragraphs.

All positions are integers: samples of audio, characters of text.
"""

import re
from dataclasses import dataclass

import numpy as np

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    first_sample: int
    num_samples: int


def cut_at_pauses(num_samples: int, activity: np.ndarray, frame_samples: float, max_samples: int) -> list[Cut]:
    """Cut a recording into pieces of `max_samples` at most, each as long as the pauses allow.

    `activity` holds one value a frame of `frame_samples` samples, small in a pause. A piece ends in the middle of the
    last pause of its second half, or at its quietest frame where there is no pause.
    """
    cuts = []
    first = 0
    while num_samples - first > max_samples:
        low = first + max_samples // 2
        last = first + max_samples
        begin, end = int(np.ceil(low / frame_samples)), int(last / frame_samples)
        frame = _quietest(activity[begin:end]) + begin
        border = min(max(round((frame + 0.5) * frame_samples), first + 1), last)
        cuts.append(Cut(first_sample=first, num_samples=border - first))
        first = border
    return [*cuts, Cut(first_sample=first, num_samples=num_samples - first)]


def _quietest(activity: np.ndarray) -> int:
    """Middle of the widest run of frames that are nearly as quiet as the quietest one."""
    if not len(activity):
        return 0
    quiet = activity <= max(float(activity.min()) * 1.5, 0.1 if activity.max() > 0.1 else float(activity.min()))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    widest = int(np.argmax(ends - starts))
    return int((starts[widest] + ends[widest] - 1) // 2)


def cut_evenly(num_samples: int, piece_samples: int, max_pieces: int, group_samples: int) -> list[Cut]:
    """Pieces of `piece_samples`, at most `max_pieces` (0: all) and spread over the recording.

    `group_samples` is the shortest length among the parts recorded together, so that all parts are cut at the same
    places.
    """
    num_pieces = max(1, -(-group_samples // piece_samples))
    if num_pieces > 1 and group_samples - (num_pieces - 1) * piece_samples < piece_samples // 2:
        num_pieces -= 1  # a rest of less than half a piece is left out
    count = num_pieces if max_pieces == 0 else min(max_pieces, num_pieces)
    firsts = [piece * piece_samples for piece in spread(num_pieces, count)]
    return [Cut(first_sample=first, num_samples=min(piece_samples, num_samples - first)) for first in firsts]


def spread(num_items: int, num_chosen: int) -> list[int]:
    """Indices of `num_chosen` of `num_items` items: the middle one of each of as many equal shares.

    Not the first ones: a recording's first and last seconds are often silent, a document's first passages its contents.
    """
    count = min(num_items, num_chosen)
    return [(2 * index + 1) * num_items // (2 * count) for index in range(count)]


def cut_text(text: str, max_characters: int) -> list[tuple[int, str]]:
    """Passages of `max_characters` at most and where each starts: whole paragraphs, long ones cut between sentences
    or words."""
    passages: list[tuple[int, str]] = []
    for first, paragraph in _paragraphs(text):
        for offset, piece in _split(paragraph, max_characters):
            if passages and len(passages[-1][1]) + 2 + len(piece) <= max_characters and not offset:
                passages[-1] = (passages[-1][0], passages[-1][1] + "\n\n" + piece)
            else:
                passages.append((first + offset, piece))
    return passages


def _paragraphs(text: str) -> list[tuple[int, str]]:
    paragraphs = [
        (match.start(), match.group().strip()) for match in re.finditer(r"(?:(?!\n[ \t]*\n).)+", text, re.DOTALL)
    ]
    return [(first, paragraph) for first, paragraph in paragraphs if paragraph]


def _split(paragraph: str, max_characters: int) -> list[tuple[int, str]]:
    pieces = []
    first = 0
    while len(paragraph) - first > max_characters:
        window = paragraph[first : first + max_characters]
        ends = [match.end() for match in _SENTENCE_END.finditer(window) if match.end() > max_characters // 3]
        size = ends[-1] if ends else (window.rfind(" ") + 1 or max_characters)
        pieces.append((first, paragraph[first : first + size].strip()))
        first += size
    pieces.append((first, paragraph[first:].strip()))
    return [(offset, piece) for offset, piece in pieces if piece]
