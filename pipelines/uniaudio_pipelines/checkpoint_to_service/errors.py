"""Failures as answers: a status and one sentence, in the form that OpenAI's clients read."""

from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

RETRY_S = 2
"""When what may go well later is tried again."""
MOST_SHOWN = 1_000
"""Characters of a sentence, which may repeat what was sent."""
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class RefusalError(HTTPException):
    """A request that is answered with a status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence)


def refused(status: int, sentence: str) -> JSONResponse:
    """The answer; what may go well later says when to try again."""
    if len(sentence) > MOST_SHOWN:
        sentence = sentence[:MOST_SHOWN] + " …"
    # Half a character, which JSON can hold, cannot be sent back.
    sentence = sentence.encode(errors="backslashreplace").decode()
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    error: dict[str, Any] = {"message": sentence, "type": kind, "param": None, "code": None}
    headers = {"Retry-After": str(RETRY_S)} if status in (429, 503) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": error}, status, headers)


def sentence_of(errors: Sequence[Any]) -> str:
    """The first thing that FastAPI reports of a form or a body."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return "The body must be JSON, but is not."
    name = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    message = first["msg"].removeprefix("Value error, ")
    return f"`{name}`: {message}." if name else f"{message}."
