"""The log of a Ray job, line by line as it is written: followed over one open connection, in place of asking for all of it each second.

Lines of other processes that Ray mixes in come as they are; a connection that breaks is opened again, and no line is given twice.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from uniaudio_schemas.errors import StoreError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

PATIENCE_S = 20
QUIET_S = 30.0
"""A job that writes nothing for so long is asked whether it is still there."""
_RETRY_S = 2.0
_FIRST_RETRY_S = 0.1
"""Doubled each time up to `_RETRY_S`: a log ends a moment before its job does, and a head that is away is left in peace."""
_END = ""


class LostConnectionError(StoreError):
    """The Ray head does not answer any more."""


def follow_log(client: "JobSubmissionClient", submission_id: str) -> Iterator[str]:
    """Complete lines until the job ends, without their ends. LostConnectionError after 20 s without the head."""
    num_read, partial = 0, ""
    lost_since: float | None = None
    retry_s = _FIRST_RETRY_S
    with _loop_in_a_thread() as loop:
        while True:
            try:
                for text in _new_text(client, submission_id, loop, num_read):
                    lost_since, retry_s = None, _FIRST_RETRY_S
                    num_read += len(text)
                    *lines, partial = (partial + text).split("\n")
                    yield from lines
                if client.get_job_status(submission_id).is_terminal():
                    break
            except (ConnectionError, RuntimeError, OSError, aiohttp.ClientError) as error:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > PATIENCE_S:
                    raise LostConnectionError(
                        "the Ray head does not answer any more; start it with `uniaudio up` and run this flow again: finished shards are kept."
                    ) from error
            time.sleep(min(retry_s, _RETRY_S))
            retry_s *= 2
    if partial:
        yield partial


def _new_text(
    client: "JobSubmissionClient", submission_id: str, loop: asyncio.AbstractEventLoop, num_read: int
) -> Iterator[str]:
    """What comes behind the first `num_read` characters, of which a new connection sends the whole again."""
    chunks = client.tail_job_logs(submission_id)
    num_sent = 0
    while text := _wait_for(asyncio.run_coroutine_threadsafe(_next(chunks), loop), client, submission_id):
        num_sent += len(text)
        if fresh := text[max(0, len(text) - max(0, num_sent - num_read)) :]:
            yield fresh


def _wait_for(coming: "Future[str]", client: "JobSubmissionClient", submission_id: str) -> str:
    while True:
        try:
            return coming.result(QUIET_S)
        except TimeoutError:
            if coming.done():
                raise
            client.get_job_status(submission_id)  # raises where the head is gone without a word


async def _next(chunks: AsyncIterator[str]) -> str:
    return await anext(chunks, _END)


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """The caller's own thread may have a loop running, and must hear its signals."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="job-log")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
