"""A service in this process, without Ray Serve: the gateway's application before a replica of a tiny model."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import openai
from uniaudio_pipelines.checkpoint_to_service.asked import Asked
from uniaudio_pipelines.checkpoint_to_service.backend import refusal_of
from uniaudio_pipelines.checkpoint_to_service.gateway import app_before
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Service
from uniaudio_schemas.errors import UniaudioError

URL = "http://localhost"


class LocalBackend:
    """`Backend` over one replica at hand."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def call(self, method: str, *arguments: Any) -> Any:
        try:
            return await getattr(self._replica, method)(*arguments)
        except UniaudioError as error:
            raise refusal_of(error) from error

    async def stream(self, asked: Asked) -> AsyncIterator[Any]:
        try:
            async with aclosing(self._replica.stream(asked)) as parts:
                async for part in parts:
                    yield part
        except UniaudioError as error:
            raise refusal_of(error) from error


def client_of(service: Service, replica: Replica, key: str = "") -> httpx.AsyncClient:
    """An HTTP client of the application."""
    transport = httpx.ASGITransport(app_before(LocalBackend(replica), service))  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(transport=transport, base_url=URL, headers=headers, timeout=60)


def openai_of(service: Service, replica: Replica) -> openai.AsyncOpenAI:
    """OpenAI's own client of the application."""
    return openai.AsyncOpenAI(
        base_url=f"{URL}/v1", api_key="none", http_client=client_of(service, replica), max_retries=0
    )
