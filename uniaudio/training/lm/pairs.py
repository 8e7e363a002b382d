"""A row of `sequences` that holds a pair: one request with a better answer, then the same request with a worse one.

request, given, chosen (with loss), request, given, rejected    ->    request, given, chosen and request, given, rejected

Each half becomes a document of its own in a packed row, the chosen one first, with loss on its answer and on nothing else.
"""

from dataclasses import replace

from uniaudio_schemas.errors import DataError

from uniaudio.sequence.layout import Grid, lay_out
from uniaudio.sequence.segments import Segment


def pair_of(segments: list[Segment]) -> tuple[Grid, Grid]:
    """The halves, chosen and rejected. DataError where the segments are no pair."""
    carries = [segment.loss for segment in segments]
    if True not in carries:
        raise DataError("a pair must have an answer that carries loss, but has none.")
    first = carries.index(True)
    behind = carries[first:].index(False) + first if False in carries[first:] else len(segments)
    prompt, prompt_again, rejected = segments[:first], segments[behind : behind + first], segments[behind + first :]
    if not rejected or any(segment.loss for segment in (*prompt_again, *rejected)) or prompt != prompt_again:
        raise DataError("a pair must repeat its request before an answer without loss, but does not.")
    worse = [replace(segment, loss=True) for segment in rejected]
    return lay_out(segments[:behind]), lay_out([*prompt_again, *worse])
