"""What stands before every route: the name that is asked for, the key, the number of requests, the size and time of what is sent, and headers
for the page.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse

from uniaudio_pipelines.checkpoint_to_service.bodies import Allowance
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError, refused
from uniaudio_pipelines.checkpoint_to_service.hosts import Hosts
from uniaudio_pipelines.checkpoint_to_service.settings import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOCKED_PATHS = "/v1/"
"""What lies below wants the key; health and the page do not."""
_MOST_DIGITS = 20
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
}


@dataclass(slots=True)
class _Body:
    """What has arrived of one request."""

    num_bytes: int = 0


class Guard:
    """ASGI middleware. A request has its place from its headers to the end of its answer, so that only so many bodies are held at once;
    bytes are counted while they arrive, whatever the header says."""

    def __init__(self, app: Any, *, key: str, limits: Limits, num_rows: int, hosts: Hosts) -> None:
        """`num_rows`: answers that all replicas write at once."""
        self._app, self._key, self._limits, self._hosts = app, key.encode(), limits, hosts
        self._most_asked, self._num_asked = num_rows + limits.waiting, 0
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        headers = dict(scope["headers"])
        allowance = Allowance(scope, headers, self._limits)
        if (refusal := self._refusal(scope, headers, allowance)) is not None:
            await refusal(scope, receive, headed)
            return
        asks = scope["method"] == "POST"
        self._num_asked += asks
        body = _Body()
        try:
            await self._app(scope, self._counted(receive, allowance, body), headed)
        finally:
            self._num_asked -= asks
            self._held_bytes -= body.num_bytes

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], allowance: Allowance) -> JSONResponse | None:
        """The answer to a request whose headers are enough to refuse it."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if (wrong := self._hosts.refusal(hosts)) is not None:
            return refused(*wrong)
        asks = scope["method"] == "POST"
        if asks and headers.get(b"sec-fetch-site") == b"cross-site":
            return refused(403, "A page of another site must not ask this service.")
        if self._key and scope["path"].startswith(LOCKED_PATHS) and not self._has_key(headers):
            return refused(401, "The key of this service is missing or wrong.")
        length = headers.get(b"content-length", b"0")
        # Python reads no number of thousands of digits.
        if not length.isdigit() or len(length) > _MOST_DIGITS or int(length) > allowance.num_bytes:
            return refused(413, allowance.too_large)
        if asks and self._num_asked >= self._most_asked:
            return refused(429, f"{self._limits.waiting} requests are waiting already.")
        return None

    def _counted(self, receive: Receive, allowance: Allowance, body: "_Body") -> Receive:
        """`receive` that holds the limits of a body, and those of all bodies together."""
        count, is_whole = allowance.counter(), False
        until = asyncio.get_running_loop().time() + self._limits.request_s

        async def counted() -> Message:
            nonlocal is_whole
            try:
                # Behind the body there is only the news that the client went away, which may come late.
                async with asyncio.timeout_at(None if is_whole else until):
                    message = await receive()
            except TimeoutError as error:
                raise RefusalError(
                    408, f"A request must arrive within {self._limits.request_s:g} seconds, but did not."
                ) from error
            is_whole = not message.get("more_body", False)
            part = message.get("body", b"")
            count(part)
            body.num_bytes += len(part)
            self._held_bytes += len(part)
            if self._held_bytes > self._limits.held_bytes:
                raise RefusalError(
                    429, f"The requests being answered hold more than {self._limits.held_bytes} bytes; ask again later."
                )
            return message

        return counted

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._key)
