"""What stands before every route: the key, the number of requests, the size and time of what is sent, and headers for the page."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse

from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError, refused
from uniaudio_pipelines.checkpoint_to_service.settings import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOCKED_PATHS = "/v1/"
"""What lies below wants the key; health and the page do not."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
}


class Guard:
    """ASGI middleware. A request has its place from its headers to the end of its answer, so that only so many bodies are held at once;
    bytes are counted while they arrive, whatever the header says."""

    def __init__(self, app: Any, *, key: str, limits: Limits, num_rows: int) -> None:
        """`num_rows`: answers that all replicas write at once."""
        self._app, self._key, self._limits = app, key.encode(), limits
        self._most_asked, self._num_asked = num_rows + limits.waiting, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        if (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, headed)
            return
        asks = scope["method"] == "POST"
        self._num_asked += asks
        try:
            await self._app(scope, self._counted(receive), headed)
        finally:
            self._num_asked -= asks

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """The answer to a request whose headers are enough to refuse it."""
        headers = dict(scope["headers"])
        if self._key and scope["path"].startswith(LOCKED_PATHS) and not self._has_key(headers):
            return refused(401, "The key of this service is missing or wrong.")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.upload_bytes:
            return refused(413, self._too_large)
        if scope["method"] == "POST" and self._num_asked >= self._most_asked:
            return refused(429, f"{self._limits.waiting} requests are waiting already.")
        return None

    def _counted(self, receive: Receive) -> Receive:
        """`receive` that holds the limits of a body."""
        num_bytes, is_whole = 0, False
        until = asyncio.get_running_loop().time() + self._limits.request_s

        async def counted() -> Message:
            nonlocal num_bytes, is_whole
            try:
                # Behind the body there is only the news that the client went away, which may come late.
                async with asyncio.timeout_at(None if is_whole else until):
                    message = await receive()
            except TimeoutError as error:
                raise RefusalError(
                    408, f"A request must arrive within {self._limits.request_s:g} seconds, but did not."
                ) from error
            num_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if num_bytes > self._limits.upload_bytes:
                raise RefusalError(413, self._too_large)
            return message

        return counted

    @property
    def _too_large(self) -> str:
        return f"A request must hold {self._limits.upload_bytes} bytes at most, but holds more."

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._key)
