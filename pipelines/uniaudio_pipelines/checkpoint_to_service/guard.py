"""What stands before every route: the key, the size of what is sent, and headers for the page."""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError, refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

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
    """ASGI middleware. `upload_bytes`: of a body, counted while it arrives, whatever its header says."""

    def __init__(self, app: Any, *, key: str, upload_bytes: int) -> None:
        self._app, self._key, self._upload_bytes = app, key.encode(), upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._key and scope["path"].startswith(LOCKED_PATHS) and not self._has_key(headers):
            await refused(401, "The key of this service is missing or wrong.")(scope, receive, send)
            return
        too_large = f"A request must hold {self._upload_bytes} bytes at most, but holds more."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._upload_bytes:
            await refused(413, too_large)(scope, receive, send)
            return
        num_bytes = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._upload_bytes:
                raise RefusalError(413, too_large)
            return message

        async def headed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self._app(scope, counted, headed)

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._key)
