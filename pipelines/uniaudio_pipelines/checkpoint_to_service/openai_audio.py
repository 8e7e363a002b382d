"""Speech in and out as OpenAI's API has it: `POST /v1/audio/transcriptions` and `POST /v1/audio/speech`.

Transcriptions are the task `asr`; `response_format` is json, text or verbose_json. Speech is `tts` in the voice `default`, `prompt_tts` in
another one, `instruct_tts` where `instructions` say how to speak; wav and pcm are sent while they are written.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, Field

from uniaudio_pipelines.checkpoint_to_service.asked import Asked, Reply
from uniaudio_pipelines.checkpoint_to_service.backend import first_of
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError
from uniaudio_pipelines.checkpoint_to_service.forms import MOST_SEED, upload_of
from uniaudio_pipelines.checkpoint_to_service.sound_formats import STREAMED, TYPES, encode, wav_header

router = APIRouter()
EVENTS = "text/event-stream"
DEFAULT_VOICE = "default"


def event(data: dict[str, Any] | str) -> str:
    """One server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}\n\n"


@router.post("/v1/audio/transcriptions")
async def transcribe(
    request: Request,
    file: UploadFile,
    model: Annotated[str, Form()],
    response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
    temperature: Annotated[float | None, Form()] = None,
    seed: Annotated[int | None, Form(ge=-MOST_SEED, le=MOST_SEED)] = None,
    stream: Annotated[bool, Form()] = False,
    language: Annotated[str, Form()] = "",
) -> Response:
    """What is said. `language` is echoed: the model hears it itself."""
    asked = Asked(task="asr", model=model, audio=await upload_of(file), temperature=temperature, seed=seed)
    if stream:
        parts = await first_of(request.app.state.backend.stream(asked))
        return StreamingResponse(_transcript_events(parts), media_type=EVENTS)
    reply: Reply = await request.app.state.backend.call("ask", asked)
    if response_format == "text":
        return PlainTextResponse(reply.text + "\n")
    answer: dict[str, Any] = {"text": reply.text}
    if response_format == "verbose_json":
        answer |= {"task": "transcribe", "language": language, "duration": round(reply.input_s, 3), "segments": []}
    usage = {"type": "duration", "seconds": round(reply.input_s, 3)}
    return Response(json.dumps({**answer, "usage": usage}, ensure_ascii=False), media_type="application/json")


async def _transcript_events(parts: AsyncGenerator[Any, None]) -> AsyncIterator[str]:
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Reply):
                yield event({"type": "transcript.text.done", "text": part.text})
            else:
                yield event({"type": "transcript.text.delta", "delta": part})


class SpeechRequest(BaseModel):
    """Body of `POST /v1/audio/speech`."""

    model: str
    input: str = Field(min_length=1)
    voice: str | dict[str, str] = DEFAULT_VOICE
    instructions: str = ""
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    seed: int | None = Field(default=None, ge=-MOST_SEED, le=MOST_SEED)
    """Not OpenAI's: what the answer is drawn from."""
    temperature: float | None = None
    max_seconds: float | None = Field(default=None, gt=0)

    def asked(self) -> Asked:
        """As a task; `RefusalError` where the voice cannot be had so."""
        voice = self.voice if isinstance(self.voice, str) else self.voice.get("id", "")
        if self.speed != 1:
            raise RefusalError(400, f"`speed` must be 1, but is {self.speed:g}: this model speaks as fast as it likes.")
        if voice != DEFAULT_VOICE and self.instructions:
            raise RefusalError(400, f"`instructions` must be empty for another voice than `{DEFAULT_VOICE}`.")
        task = "tts" if voice == DEFAULT_VOICE else "prompt_tts"
        return Asked(
            task="instruct_tts" if self.instructions else task,
            model=self.model,
            text=self.input,
            style=self.instructions,
            voice_name="" if voice == DEFAULT_VOICE else voice,
            seed=self.seed,
            temperature=self.temperature,
            max_seconds=self.max_seconds,
        )


@router.post("/v1/audio/speech")
async def speak(request: Request, body: SpeechRequest) -> Response:
    """Speech: sent as it is written in wav and pcm, or as events; otherwise when it is whole."""
    backend, asked, form = request.app.state.backend, body.asked(), body.response_format
    if body.stream_format == "sse" and form not in STREAMED:
        raise RefusalError(
            400, f"`response_format` of a stream of events must be of {', '.join(STREAMED)}, but is {form}."
        )
    if form in STREAMED:
        parts = await first_of(backend.stream(asked))
        if body.stream_format == "sse":
            return StreamingResponse(_speech_events(parts, form), media_type=EVENTS)
        return StreamingResponse(_speech(parts, form), media_type=TYPES[form])
    reply: Reply = await backend.call("ask", asked)
    assert reply.samples is not None, "a task that speaks writes a clip"
    return Response(await asyncio.to_thread(encode, reply.samples, form), media_type=TYPES[form])


async def _speech(parts: AsyncGenerator[Any, None], form: str) -> AsyncIterator[bytes]:
    if form == "wav":
        yield wav_header()
    async with aclosing(parts):
        async for part in parts:
            if not isinstance(part, Reply):
                yield part


async def _speech_events(parts: AsyncGenerator[Any, None], form: str) -> AsyncIterator[str]:
    usage: dict[str, int] = {}
    async with aclosing(parts):
        async for part in _with_header(parts, form):
            if isinstance(part, Reply):
                usage = usage_of(part)
            else:
                yield event({"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()})
    yield event({"type": "speech.audio.done", "usage": usage})


async def _with_header(parts: AsyncGenerator[Any, None], form: str) -> AsyncIterator[Any]:
    if form == "wav":
        yield wav_header()
    async for part in parts:
        yield part


def usage_of(reply: Reply) -> dict[str, int]:
    """Positions read and written, by OpenAI's names of speech."""
    return {
        "input_tokens": reply.num_given,
        "output_tokens": reply.num_written,
        "total_tokens": reply.num_given + reply.num_written,
    }
