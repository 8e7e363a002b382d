"""`POST /v1/chat/completions` as OpenAI's API has it, with sound in and out, for models that were trained on conversations.

    {"model": "mine", "messages": [{"role": "user", "content": [{"type": "text", "text": "What is said here?"},
     {"type": "input_audio", "input_audio": {"data": "UklGR…", "format": "wav"}}]}]}

With `"modalities": ["text", "audio"]` and `"audio": {"format": "wav"}` a turn is answered in text and that text is then spoken: `transcript` is
what the sound says. A sound of an earlier answer is given again by its text.
"""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from uniaudio_pipelines.checkpoint_to_service.asked import Asked, Reply, Turn, Upload
from uniaudio_pipelines.checkpoint_to_service.backend import first_of
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError
from uniaudio_pipelines.checkpoint_to_service.forms import MOST_SEED
from uniaudio_pipelines.checkpoint_to_service.openai_audio import EVENTS, event
from uniaudio_pipelines.checkpoint_to_service.sound_formats import encode, pcm

router = APIRouter()
MOST_TURNS = 64
MOST_PARTS = 64


class InputAudio(BaseModel):
    """A file in base64."""

    data: str
    format: str = "wav"


class Part(BaseModel):
    """A part of a message."""

    type: Literal["text", "input_audio"]
    text: str = ""
    input_audio: InputAudio | None = None


class Spoken(BaseModel):
    """A sound of an earlier answer, of which only the words are given again."""

    transcript: str = ""


class Message(BaseModel):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(max_length=MOST_PARTS)] | None = None
    audio: Spoken | None = None

    def turn(self) -> Turn:
        """`RefusalError` where it holds nothing, or a sound that is none."""
        parts = [Part(type="text", text=self.content)] if isinstance(self.content, str) else self.content or []
        sounds = [part.input_audio for part in parts if part.input_audio is not None]
        said = self.audio.transcript if self.audio else ""
        text = "\n".join(part.text for part in parts if part.text) or said
        if len(sounds) > 1 or (sounds and self.role == "assistant"):
            raise RefusalError(400, "A message of a user must hold one sound at most, and one of an assistant none.")
        if not text and not sounds:
            raise RefusalError(
                400, "A message must hold a text or a sound, but holds neither (sounds of answers are not kept)."
            )
        role = "user" if self.role in ("system", "developer") else self.role
        return Turn(role=role, text=text, audio=_upload(sounds[0]) if sounds else None)


class AudioOut(BaseModel):
    """How the answer sounds."""

    format: Literal["wav", "mp3", "flac", "opus", "aac", "pcm16"] = "wav"
    voice: str | dict[str, str] = "default"


class ChatRequest(BaseModel):
    """Body of `POST /v1/chat/completions`."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=MOST_TURNS)
    modalities: list[Literal["text", "audio"]] = Field(default=["text"], max_length=MOST_PARTS)
    audio: AudioOut | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = Field(default=None, ge=-MOST_SEED, le=MOST_SEED)
    max_tokens: int | None = Field(default=None, gt=0)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    n: int = Field(default=1, ge=1, le=1)
    stream: bool = False

    def asked(self) -> Asked:
        """The turn that is answered in text."""
        if self.messages[-1].role == "assistant":
            raise RefusalError(400, "The last of `messages` must be a user's, but is an assistant's.")
        return Asked(
            task="conversation",
            model=self.model,
            turns=tuple(message.turn() for message in self.messages),
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            max_text=self.max_completion_tokens or self.max_tokens,
        )


@router.post("/v1/chat/completions")
async def complete(request: Request, body: ChatRequest) -> Response:
    """The next message."""
    backend, asked = request.app.state.backend, body.asked()
    if body.stream:
        if "audio" in body.modalities:
            raise RefusalError(
                400, "`stream` must be false where `modalities` hold audio: ask `/v1/audio/speech` for streams."
            )
        parts = await first_of(backend.stream(asked))
        return StreamingResponse(_events(parts, body.model), media_type=EVENTS)
    reply: Reply = await backend.call("ask", asked)
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    num_written, finished = reply.num_written, reply.finished
    if "audio" in body.modalities:
        if not reply.text.strip():
            raise RefusalError(503, "The model answered nothing that could be spoken: try another `seed`.")
        spoken: Reply = await backend.call("ask", replace(asked, speaks=True, words=reply.text, max_text=None))
        num_written, finished = num_written + spoken.num_written, spoken.finished
        sound = await asyncio.to_thread(_sound, spoken, reply.text, body.audio or AudioOut())
        message |= {"content": None, "audio": sound}
    answer = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finished, "logprobs": None}],
        "usage": {
            "prompt_tokens": reply.num_given,
            "completion_tokens": num_written,
            "total_tokens": reply.num_given + num_written,
        },
    }
    return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")


async def _events(parts: AsyncGenerator[Any, None], model: str) -> AsyncIterator[str]:
    name, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

    def chunk(delta: dict[str, Any], finished: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finished, "logprobs": None}
        return event(
            {"id": name, "object": "chat.completion.chunk", "created": created, "model": model, "choices": [choice]}
        )

    yield chunk({"role": "assistant", "content": ""})
    async with aclosing(parts):
        async for part in parts:
            yield chunk({}, part.finished) if isinstance(part, Reply) else chunk({"content": part})
    yield event("[DONE]")


def _sound(reply: Reply, transcript: str, out: AudioOut) -> dict[str, Any]:
    assert reply.samples is not None, "a turn that speaks writes a clip"
    data = pcm(reply.samples) if out.format == "pcm16" else encode(reply.samples, out.format)
    return {
        "id": f"audio_{uuid.uuid4().hex}",
        "data": base64.b64encode(data).decode(),
        "transcript": transcript,
        # None is kept: a later turn repeats what it said.
        "expires_at": int(time.time()),
    }


def _upload(sound: InputAudio) -> Upload:
    try:
        return Upload(base64.b64decode(sound.data, validate=True), f"input_audio.{sound.format}")
    except ValueError as error:
        raise RefusalError(400, "`input_audio.data` must be base64, but is not.") from error
