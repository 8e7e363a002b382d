"""Requests to the replicas, as the gateway makes them: a time limit, another try where a replica was lost, one sentence where it fails."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle
from uniaudio_schemas.errors import UniaudioError

from uniaudio_pipelines.checkpoint_to_service.asked import Asked
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError
from uniaudio_pipelines.checkpoint_to_service.settings import Service

log = logging.getLogger(__name__)
_LOST = (RayActorError, ReplicaUnavailableError)
TRIES = 4
"""How often a request is tried whose replica is lost; its answer depends on its seed alone, so that another replica gives the same."""
_PAUSE_S = 0.5
_STATUS = {"TooLargeError": 413, "UnknownModelError": 404}


class Backend:
    """The replicas behind one handle."""

    def __init__(self, handle: DeploymentHandle[Any], service: Service) -> None:
        self._handle, self._limits = handle, service.limits

    async def call(self, method: str, *arguments: Any) -> Any:
        """What a method of `Replica` returns; a `RefusalError` where it cannot."""
        with self._sentences():
            async with asyncio.timeout(self._limits.request_s):
                return await self._call(method, *arguments)

    async def _call(self, method: str, *arguments: Any) -> Any:
        for tries_left in reversed(range(TRIES)):
            response = getattr(self._handle, method).remote(*arguments)
            try:
                return await response
            except _LOST as error:
                await _pause_or_refuse(error, tries_left)
            except BaseException:
                response.cancel()
                raise

    async def stream(self, asked: Asked) -> AsyncGenerator[Any, None]:
        """What `Replica.stream` yields. A lost replica is replaced where nothing was yielded yet."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._limits.request_s
        for tries_left in reversed(range(TRIES)):
            response: Any = self._handle.options(stream=True).stream.remote(asked)
            has_begun = False
            try:
                while True:
                    # Not one time limit around all: parts may be taken by another task than the first.
                    with self._sentences():
                        part = await asyncio.wait_for(anext(response), until - clock())
                    has_begun = True
                    yield part
            except StopAsyncIteration:
                return
            except _LOST as error:
                if has_begun:
                    raise RefusalError(503, "The replica that answered was lost.") from error
                await _pause_or_refuse(error, tries_left)
            except BaseException:
                response.cancel()
                raise

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """What Ray Serve and the model refuse, as answers."""
        try:
            yield
        except TimeoutError as error:
            raise RefusalError(503, f"The answer took longer than {self._limits.request_s:g} seconds.") from error
        except DeploymentUnavailableError as error:
            raise RefusalError(503, "No replica of the model can answer.") from error
        except UniaudioError as error:
            raise refusal_of(error) from error


def refusal_of(error: UniaudioError) -> RefusalError:
    """The answer to a request that the model cannot take; Ray wraps what a replica raised."""
    cause = getattr(error, "cause", error)
    return RefusalError(_STATUS.get(type(cause).__name__, 400), str(cause))


async def first_of(parts: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Waits for the first of `parts` and gives all of them: what fails before it fails before an answer has begun."""
    first = await anext(parts)

    async def again() -> AsyncGenerator[Any, None]:
        async with aclosing(parts):
            yield first
            async for part in parts:
                yield part

    return again()


async def _pause_or_refuse(error: Exception, tries_left: int) -> None:
    log.warning("a replica was lost: %s", str(error).strip().partition("\n")[0])
    if not tries_left:
        raise RefusalError(503, "The replica that answered was lost.") from error
    await asyncio.sleep(_PAUSE_S)
