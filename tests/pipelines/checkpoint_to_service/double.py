"""The service's API over a tiny model, in this process: the page is tested without Ray.

`Double.pause` keeps answers back until `Double.go_on`; `Double.answers` are those given, oldest first.
"""

import asyncio
import base64
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
import uniaudio_pipelines
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import FormData, MutableHeaders, UploadFile
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uniaudio_schemas.errors import UniaudioError, UsageError

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.levels import Levels, mono_channel
from uniaudio.audio.read import read_audio
from uniaudio.audio.render import to_mono_24k
from uniaudio.lm.sampling import Sampling
from uniaudio.run.folder import Parts
from uniaudio.run.model import Options, Result, UniAudio
from uniaudio.run.options import default_sampling
from uniaudio.run.request import Request as Asked
from uniaudio.run.request import main_text, needs_audio, plan_of_task
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS, Task
from uniaudio.testing import tiny_codec, tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer

PAGE = Path(uniaudio_pipelines.__file__).parent / "checkpoint_to_service" / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SHOWN = ("asr", "tts", "instruct_tts", "prompt_tts", "speech_denoise", "sound_classification", "voice_conversion", "audio_understanding")  # fmt: skip


@dataclass
class Double:
    """What the test looks at and turns."""

    models: dict[str, UniAudio]
    key: str = ""
    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    cancelled: int = 0
    flowing: threading.Event = field(default_factory=threading.Event)

    @property
    def heard(self) -> list[Any]:
        """The sounds of `asked`, `[N]` float32 at 24 kHz."""
        return [one.audio for one in self.asked]

    def pause(self) -> None:
        self.flowing.clear()

    def go_on(self) -> None:
        self.flowing.set()


def tiny_model() -> UniAudio:
    codec, tokenizer = tiny_codec(), ByteTokenizer()
    sizes = codec.config.reasoning_codebook_size, codec.config.reconstruction_codebook_size
    vocabulary = Vocabulary.build(tokenizer, *sizes)
    model = tiny_lm(vocabulary).eval().requires_grad_(False)
    return UniAudio(
        Parts(
            model=model,
            vocabulary=vocabulary,
            tokenizer=tokenizer,
            tasks=frozenset(TASKS),
            codec_fingerprint=codec.fingerprint,
            load_codec=tiny_codec,
        )
    )


@contextmanager
def served(key: str = "") -> Iterator[Double]:
    """A double at a free port of loopback."""
    double = Double({"first": tiny_model(), "second": tiny_model()}, key)
    double.go_on()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app_of(double), log_level="warning"))
        double.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            yield double
        finally:
            double.go_on()
            server.should_exit = True
            thread.join(30)


class Guard:
    """Asks for the key and names the page's policy. Plain ASGI: behind a middleware of functions nobody hears that a client went away."""

    def __init__(self, app: ASGIApp, double: Double) -> None:
        self.app, self.double = app, double

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, key = Request(scope), self.double.key
        if key and request.url.path.startswith("/v1") and request.headers.get("authorization") != f"Bearer {key}":
            refused = JSONResponse({"error": {"message": "The key is missing or wrong."}}, 401)
            await refused(scope, receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = CSP
            await send(message)

        await self.app(scope, receive, with_policy)


def app_of(double: Double) -> FastAPI:
    app = FastAPI()

    app.add_middleware(Guard, double=double)

    @app.get("/v1/info")
    def info() -> dict[str, Any]:
        rates = {"reasoning": SAMPLE_RATE / REASONING_HOP, "reconstruction": SAMPLE_RATE / RECONSTRUCTION_HOP}
        return {"model": "first", "codec": {"frame_rates": rates}, "sample_rate": SAMPLE_RATE, "limits": {}}

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in double.models]}

    @app.get("/v1/tasks")
    def tasks() -> dict[str, Any]:
        return {"data": [describe(TASKS[name]) for name in SHOWN]}

    @app.post("/v1/tasks/{task}")
    async def ask(task: str, request: Request) -> Response:
        return await answered(double, task, request)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


async def answered(double: Double, task: str, request: Request) -> Response:
    form = await request.form()
    try:
        model, asked, options = await read(task, form)
    except UsageError as error:
        return JSONResponse({"error": {"message": str(error)}}, 422)
    while not double.flowing.is_set():
        await asyncio.sleep(0.02)
        if await request.is_disconnected():
            double.cancelled += 1
            return Response(status_code=499)
    try:
        result = await asyncio.to_thread(double.models[model].run_all, task, [asked], options)
    except UsageError as error:
        return JSONResponse({"error": {"message": str(error)}}, 422)
    double.asked.append(asked)
    answer = {**written(result[0]), "model": model, "seconds": 0.5, "seed": int(str(form.get("seed") or 0))}
    double.answers.append(answer)
    return JSONResponse(answer)


def describe(task: Task) -> dict[str, Any]:
    slots = {slot.name: slot for slot in (one for one in task.order if not one.loss)}
    inputs = ["audio"] * needs_audio(task) + ["text"] * (main_text(task) is not None) + ["style"] * ("style" in slots)
    inputs += ["voice"] * any(slot.kind == "audio_prompt" for slot in task.order)
    shown = {slot.name: slot for slot in task.order if slot.repeats} or {slot.name: slot for slot in task.order}
    least, most = task.num_repeats if any(slot.repeats for slot in task.order) else (0, 3)
    examples = {
        "names": [name.removeprefix("example_") for name in shown],
        "parts": ["text" if slot.kind == "text" else "audio" for slot in shown.values()],
        "least": least,
        "most": most,
    }
    output = "text" if set(plan_of_task(task)) == {"text"} else "audio"
    description = task.prompts["en"][0]
    return {"name": task.name, "description": description, "inputs": inputs, "output": output, "examples": examples}


async def read(task: str, form: FormData) -> tuple[str, Asked, Options]:
    async def sound(value: Any) -> Any:
        if not isinstance(value, UploadFile):
            return None
        try:
            audio = read_audio(await value.read(), suffix=Path(value.filename or "").suffix, name=value.filename or "")
            levels = Levels()
            levels.add(audio.samples)
            return to_mono_24k(audio, mono_channel(levels))
        except UniaudioError as error:
            raise UsageError(str(error)) from error

    files = [await sound(one) for one in form.getlist("example_audio")]
    lines = json.loads(str(form.get("examples") or "[]"))
    examples = tuple(tuple(part["text"] if "text" in part else files[part["file"]] for part in line) for line in lines)
    asked = Asked(
        audio=await sound(form.get("audio")),
        voice=await sound(form.get("voice")),
        text=str(form.get("text") or ""),
        style=str(form.get("style") or ""),
        examples=examples,
    )
    number = {
        name: float(str(form[name]))
        for name in ("temperature", "top_k", "guidance", "seed", "max_seconds")
        if name in form
    }
    base = default_sampling(TASKS[task])
    sampling = Sampling(
        temperature=number.get("temperature", base.temperature),
        top_k=int(number.get("top_k", base.top_k)),
        cfg_scale=number.get("guidance", 1.0),
        seed=int(str(form.get("seed") or 0)),
    )
    options = Options(sampling=sampling, max_seconds=number.get("max_seconds", 2.0), max_text=24)
    return str(form.get("model") or "first"), asked, options


def written(result: Result) -> dict[str, Any]:
    audio, tokens = None, None
    if result.clips:
        file = io.BytesIO()
        soundfile.write(file, result.audio, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        audio = base64.b64encode(file.getvalue()).decode()
        tokens = {
            kind: [row.tolist() for row in result.generated.all_of(kind)[0]] for kind in ("reasoning", "reconstruction")
        }
    return {"text": result.text, "audio": audio, "tokens": tokens}
