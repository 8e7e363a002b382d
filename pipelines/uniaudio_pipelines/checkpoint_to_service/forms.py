"""`POST /v1/tasks/{task}`: every task, as a multipart form.

audio, voice      files
text, style       words
examples          JSON [[part, …], …]: a part is {"text": "dog"} or {"file": n}, the n-th file of `example_audio`
seed, temperature, top_k, top_p, guidance, repetition_penalty, max_seconds, max_text, language, wording, model
"""

import base64
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from pydantic import BaseModel, Field

from uniaudio_pipelines.checkpoint_to_service.asked import Asked, Upload
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError
from uniaudio_pipelines.checkpoint_to_service.sound_formats import wav

router = APIRouter()
MOST_SEED = (1 << 63) - 1


class TaskForm(BaseModel):
    """Fields of the form; what is left out is the task's own choice."""

    audio: UploadFile | None = None
    voice: UploadFile | None = None
    example_audio: list[UploadFile] = []
    text: str = ""
    style: str = ""
    examples: str = ""
    model: str = ""
    seed: int | None = Field(default=None, ge=-MOST_SEED, le=MOST_SEED)
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None
    repetition_penalty: float | None = None
    max_seconds: float | None = Field(default=None, gt=0)
    max_text: int | None = Field(default=None, gt=0)
    language: str = "en"
    wording: int = 0

    async def asked(self, task: str) -> Asked:
        """The request for a replica, its files read."""
        shown = [await upload_of(file) for file in self.example_audio]
        files = {"audio", "voice", "example_audio", "examples"}
        return Asked(
            task=task,
            audio=None if self.audio is None else await upload_of(self.audio),
            voice=None if self.voice is None else await upload_of(self.voice),
            examples=_examples(self.examples, shown),
            **self.model_dump(exclude=files),
        )


@router.post("/v1/tasks/{task}")
async def run_task(
    request: Request, task: str, form: Annotated[TaskForm, Form(media_type="multipart/form-data")]
) -> dict[str, Any]:
    """The whole answer, its sound as a WAV file in base64."""
    began = time.monotonic()
    reply = await request.app.state.backend.call("ask", await form.asked(task))
    return {
        "text": reply.text,
        "audio": None if reply.samples is None else base64.b64encode(wav(reply.samples)).decode(),
        "tokens": {"reasoning": reply.reasoning, "reconstruction": reply.reconstruction},
        "finished": reply.finished,
        "seconds": round(time.monotonic() - began, 3),
        "seed": reply.seed,
        "model": reply.model,
    }


async def upload_of(file: UploadFile) -> Upload:
    """The bytes of an uploaded file."""
    return Upload(await file.read(), file.filename or "audio")


def _examples(data: str, shown: list[Upload]) -> tuple[tuple[Upload | str, ...], ...]:
    if not data.strip():
        return ()
    try:
        return tuple(tuple(_part(part, shown) for part in example) for example in json.loads(data))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise RefusalError(
            400,
            '`examples` must be JSON [[part, …], …], where a part is {"text": "…"} or {"file": n} for the n-th file of '
            "`example_audio`, but is not.",
        ) from error


def _part(part: dict[str, Any], shown: list[Upload]) -> Upload | str:
    if "file" in part:
        number = part["file"]
        if not isinstance(number, int) or number < 0:
            raise ValueError(number)
        return shown[number]
    if not isinstance(part["text"], str):
        raise TypeError(part["text"])
    text: str = part["text"]
    return text
