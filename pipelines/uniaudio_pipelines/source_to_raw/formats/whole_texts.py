"""Small files of text of unknown encoding: a transcript beside its sound."""

from uniaudio_pipelines.source_to_raw.formats.format import Folder, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import UTF_16

_HINT = "; `encoding` of the corpus card says what it is"
MAX_TEXT = 16 << 20
"""Bytes; a transcript of ten hours has less than one million."""


def read_text(folder: Folder, path: str) -> str | Problem:
    """UTF-16 with its mark, what the card says, or UTF-8; a mark is no part of the text."""
    try:
        with folder.open(path) as file:
            data = file.read(MAX_TEXT + 1)
    except OSError as error:
        return Problem(path=path, reason="unreadable", detail=error.strerror or "")
    if len(data) > MAX_TEXT:
        return Problem(path=path, reason="too_large", detail=f"a text beside a sound has at most {MAX_TEXT} bytes")
    encoding = "utf-16" if data[:2] in UTF_16 else folder.card.encoding or "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        reason = "wrong_encoding" if folder.card.encoding else "not_utf8"
        return Problem(
            path=path,
            reason=reason,
            detail=f"byte {error.start}: {error.reason}{_HINT if reason == 'not_utf8' else ''}",
        )
    if "\0" in text:
        return Problem(path=path, reason="not_text", detail="holds NUL characters")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
