"""The HTTP side: what is answered where. Holds no model and no torch.

    GET  /                              the page (`page/`)
    GET  /health                        {"status": "ok", …}; 503 while no replica answers
    GET  /v1/info, /v1/models, /v1/tasks
    POST /v1/tasks/{task}               every task (`forms`)
    POST /v1/audio/transcriptions, /v1/audio/speech, /v1/chat/completions      as OpenAI's (`openai_audio`, `openai_chat`)

With a key, all below /v1 asks for it as a bearer token.
"""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from uniaudio_pipelines.checkpoint_to_service import forms, openai_audio, openai_chat
from uniaudio_pipelines.checkpoint_to_service.backend import Backend
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError, refused, sentence_of
from uniaudio_pipelines.checkpoint_to_service.guard import Guard
from uniaudio_pipelines.checkpoint_to_service.hosts import Hosts
from uniaudio_pipelines.checkpoint_to_service.settings import APPLICATION, MODEL, Service

PAGE = Path(__file__).parent / "page"
HEALTH_S = 10.0


def build_app(service: Service) -> FastAPI:
    """The application as a gateway's replica builds it, in front of the replicas of the model."""
    from ray import serve

    handle = serve.get_deployment_handle(MODEL, app_name=APPLICATION)
    return app_before(Backend(handle, service), service)


def app_before(backend: Backend, service: Service) -> FastAPI:
    """The application in front of `backend`."""
    app = FastAPI(title="UniAudio", docs_url=None, redoc_url=None)
    app.state.backend = backend
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_defect)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        try:
            async with asyncio.timeout(HEALTH_S):
                info = await backend.call("info")
        except TimeoutError as error:
            raise RefusalError(503, f"No replica of the model has answered within {HEALTH_S:g} seconds.") from error
        return {"status": "ok", **{name: info[name] for name in ("model", "version", "reload_problem")}}

    @app.get("/v1/info")
    async def info() -> dict[str, Any]:
        return {**await backend.call("info"), "limits": service.to_plain()["limits"]}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model_of(await backend.call("info"))]}

    @app.get("/v1/models/{model}")
    async def model(model: str) -> dict[str, Any]:
        served = _model_of(await backend.call("info"))
        if served["id"] != model:
            raise RefusalError(404, f"`model` must be {served['id']}, but is {model!r}.")
        return served

    @app.get("/v1/tasks")
    async def tasks() -> dict[str, Any]:
        return {"object": "list", "data": await backend.call("tasks")}

    for module in (forms, openai_audio, openai_chat):
        app.include_router(module.router)
    app.mount("/", StaticFiles(directory=PAGE, html=True, check_dir=False))
    num_rows = service.num_replicas * service.num_rows
    app.add_middleware(Guard, key=service.read_key(), limits=service.limits, num_rows=num_rows, hosts=Hosts(service))
    return app


def _model_of(info: dict[str, Any]) -> dict[str, Any]:
    return {"id": info["model"], "object": "model", "created": 0, "owned_by": "uniaudio", "version": info["version"]}


async def _answer_invalid(_: Request, error: Any) -> JSONResponse:
    return refused(400, sentence_of(error.errors()))


async def _answer_http(_: Request, error: Any) -> JSONResponse:
    return refused(error.status_code, error.detail if error.detail.endswith(".") else f"{error.detail}.")


async def _answer_defect(_: Request, error: Exception) -> JSONResponse:
    return refused(500, f"The service failed ({type(error).__name__}); its log says why.")
