"""Questions to an OpenAI-compatible endpoint over HTTP, with the standard library alone.

Row in   ("You grade …", "Known, one line a level: …") to http://127.0.0.1:8000/v1
Row out  '{"scores": [10, 4, 7], "unsupported": 1}'

What may pass (no connection, a reply cut short, 408, 429, 5xx) is asked again, a few times, at growing distances; what
will not (401, 404, …) ends at once. No error shows the key, nor what the server wrote: that may repeat it.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from uniaudio_schemas.errors import DataError, UsageError

KEY_VARIABLE = "UNIAUDIO_JUDGE_KEY"
NUM_ATTEMPTS = 4
TIMEOUT_S = 60.0
"""Time limit of one attempt, from the connection to the last byte."""
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 30.0
"""First and longest wait between attempts. The wait doubles each time, unless the server asks for another."""
MAX_REPLY_BYTES = 1 << 20
_MAY_PASS = (408, 425, 429)
_ADVICE = {401: f"check {KEY_VARIABLE}", 403: f"check {KEY_VARIABLE}", 404: "check the address and `judge_model`"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


def chat_endpoint(address: str, model: str, max_tokens: int) -> Callable[[str, str], str]:
    """A function from instruction and question to the reply of `model` at `address`, decoded as greedily as possible. Several
    threads may call it. The key comes from the environment."""
    _check_address(address)
    url = f"{address.rstrip('/')}/chat/completions"
    opener = urllib.request.build_opener(_NoRedirects)

    def ask(instruction: str, question: str) -> str:
        body = {
            "model": model,
            "messages": [{"role": "system", "content": instruction}, {"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        headers = {"Content-Type": "application/json", **_authorization()}
        reply = _post(opener, urllib.request.Request(url, json.dumps(body).encode(), headers))
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"{url}: the reply is no chat completion; check that `judge` ends where it should."
            ) from error
        return content if isinstance(content, str) else ""  # a refusal, or a reply in parts

    return ask


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole or not address.isascii() or not address.isprintable() or " " in address:
        raise UsageError(f"`judge` must be an address such as http://127.0.0.1:8000/v1, but is {address!r}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"`judge` must be an address without user, password or query: a key goes into {KEY_VARIABLE}.")


def _authorization() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{KEY_VARIABLE} must be one line of ASCII, but holds other characters.")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _post(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> Any:
    """The JSON of the reply; `UsageError` names the endpoint and what to do."""
    for attempt in range(NUM_ATTEMPTS):
        wait_s = FIRST_WAIT_S * 2.0**attempt
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                return json.loads(_read(response, time.monotonic() + TIMEOUT_S))
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code}"
            if error.code not in _MAY_PASS and error.code < 500:
                advice = _ADVICE.get(error.code, "check the address, `judge_model` and what the server supports")
                raise UsageError(f"`judge` must answer, but {request.full_url} refuses ({reason}): {advice}.") from None
            wait_s = max(wait_s, _asked_wait_s(error))
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if attempt + 1 < NUM_ATTEMPTS:
            time.sleep(min(wait_s, MAX_WAIT_S))
    raise UsageError(
        f"`judge` must answer, but {request.full_url} does not after {NUM_ATTEMPTS} attempts "
        f"({' '.join(reason.split()):.120}): check that the server runs and is not overloaded."
    )


def _read(response: Any, deadline: float) -> bytes:
    """All of the body; a server that sends it drop by drop is no better than one that is silent."""
    body = b""
    while chunk := response.read1(1 << 16):
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise ValueError(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    return body


def _asked_wait_s(error: urllib.error.HTTPError) -> float:
    """What `Retry-After` says, where it says seconds."""
    seconds = error.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() and seconds.isascii() and len(seconds) < 6 else 0.0
