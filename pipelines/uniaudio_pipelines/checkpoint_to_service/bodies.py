"""How much a body may hold, by what its route needs. It is counted while it arrives and refused before anybody parses it.

    multipart forms                     sound: `Limits.upload_bytes`
    JSON of `/v1/chat/completions`      sound in base64: as much, but no more values than texts and messages need
    all others                          texts alone: 12 bytes a character (`\\ud83d\\ude00`) and what stands around them

What is small as bytes may be large as values: 25 MB of `[[],[],…]` were 0.6 GB, and a wrong value at each place is an error each.
"""

from collections.abc import Callable, Mapping
from typing import Any

from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError
from uniaudio_pipelines.checkpoint_to_service.settings import Limits

CHAT_PATH = "/v1/chat/completions"
JSON_PATHS = (CHAT_PATH, "/v1/audio/speech")
_TEXT_BYTES = 12
"""A character of JSON at its longest: two escapes of 6."""
_AROUND_BYTES = 1 << 16
"""What a body may hold beside its texts: names, numbers, fields that are not looked at."""
_AROUND_MARKS = 1 << 14
_MARKS_A_CHARACTER = 2
_NO_MARKS = bytes(set(range(256)) - set(b'[]{},:"'))
"""All bytes but those that make values of JSON; base64 has none of these."""


class Allowance:
    """What the body of one request may hold."""

    def __init__(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], limits: Limits) -> None:
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        is_form = kind == b"multipart/form-data" and scope["path"] not in JSON_PATHS
        has_sound = is_form or scope["path"] == CHAT_PATH
        of_texts = min(limits.upload_bytes, _TEXT_BYTES * limits.prompt_text + _AROUND_BYTES)
        self.num_bytes = limits.upload_bytes if has_sound else of_texts
        self._has_marks = not is_form
        # A text may consist of marks alone; two of them are one escaped quote.
        self._num_marks = _MARKS_A_CHARACTER * limits.prompt_text + _AROUND_MARKS

    @property
    def too_large(self) -> str:
        """The sentence for a body with more bytes."""
        return f"A request must hold {self.num_bytes} bytes at most, but holds more."

    def counter(self) -> Callable[[bytes], None]:
        """What is told each part of a body, and raises `RefusalError` where they are too much together."""
        num_bytes = num_marks = 0

        def count(part: bytes) -> None:
            nonlocal num_bytes, num_marks
            num_bytes += len(part)
            if num_bytes > self.num_bytes:
                raise RefusalError(413, self.too_large)
            if not self._has_marks:
                return
            num_marks += len(part.translate(None, _NO_MARKS))
            if num_marks > self._num_marks:
                raise RefusalError(
                    400,
                    f"JSON must hold {self._num_marks} brackets, commas, colons and quotes at most, but holds more.",
                )

        return count
