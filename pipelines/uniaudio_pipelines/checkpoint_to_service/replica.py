"""One copy of the model: reads what is asked, writes answers in one running batch, and takes up a new model while it answers.

    ask(Asked(task="asr", audio=Upload(b"RIFF…", "clip.wav"), seed=7))     -> Reply
    stream(Asked(task="tts", text="Good morning."))                          -> texts or PCM bytes, then a Reply without audio

The codec runs in a thread beside the engine's, one clip at a time. A model that has changed is loaded beside the old one, so for a moment
there are two; requests that came before are answered by the old one.
"""

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.read import audio_suffixes
from uniaudio.lm.answer import Answer, Piece
from uniaudio.lm.running_batch import Query
from uniaudio.run.folder import version_of
from uniaudio.run.model import Result, UniAudio
from uniaudio.run.task_table import task_forms
from uniaudio.tasks import ALIASES, TASKS
from uniaudio_pipelines.checkpoint_to_service.asked import Asked, Reply, UnknownModelError
from uniaudio_pipelines.checkpoint_to_service.engine import Engine
from uniaudio_pipelines.checkpoint_to_service.gauges import Gauges
from uniaudio_pipelines.checkpoint_to_service.query import CheckedRequest, query_of, read_asked
from uniaudio_pipelines.checkpoint_to_service.settings import Service
from uniaudio_pipelines.checkpoint_to_service.sound_formats import pcm

log = logging.getLogger(__name__)
T = TypeVar("T")
_LOOK_S = 0.1


@dataclass(slots=True)
class ServedModel:
    """A model in service."""

    model: UniAudio
    engine: Engine
    version: str
    num_requests: int = 0
    """Requests that it still has to answer."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A request on its way."""

    now: ServedModel
    checked: CheckedRequest
    query: Query
    input_s: float
    label: str


class Replica:
    """What Ray Serve runs; every public method may be called while others are at work."""

    def __init__(self, service: Service) -> None:
        self._service, self._gauges = service, Gauges()
        self._codec_thread = ThreadPoolExecutor(1, "codec")
        self._stream_threads = ThreadPoolExecutor(service.num_rows, "stream")
        self._problem, self._closes, self._swapping = "", threading.Event(), threading.Lock()
        self._loaded = self._load()
        if service.reload_s:
            threading.Thread(target=self._watch, name="reload", daemon=True).start()

    @property
    def name(self) -> str:
        """What requests call the model: the last part of its path."""
        return Path(self._service.model).resolve().name

    async def info(self) -> dict[str, Any]:
        """What is served, and how busy this replica is."""
        now = self._loaded
        rates = {"reasoning": SAMPLE_RATE / REASONING_HOP, "reconstruction": SAMPLE_RATE / RECONSTRUCTION_HOP}
        return {
            "model": self.name,
            "version": now.version,
            "codec": {"fingerprint": now.model.parts.codec_fingerprint, "frame_rates": rates},
            "sample_rate": SAMPLE_RATE,
            "tasks": len(now.model.tasks),
            "parameters": now.model.parts.model.num_parameters(),
            "voices": ["default", *sorted(self._voices())],
            "writing": now.engine.num_writing,
            "waiting": now.engine.num_waiting,
            "process": os.getpid(),
            "reload_problem": self._problem,
        }

    async def tasks(self) -> list[dict[str, Any]]:
        """What each task that the model knows is given and writes."""
        return task_forms(self._loaded.model.tasks)

    async def ask(self, asked: Asked) -> Reply:
        """A whole answer."""
        with self._gauges.request(_label(asked)), self._in_use() as now:
            work = await self._begin(asked, now)
            answer = await now.engine.answer(work.query)
            checked = work.checked
            result = await self._with_codec(lambda: now.model.result(checked.request, answer, checked.options))
            return self._reply(work, result, result.clips[0] if result.clips else None)

    async def stream(self, asked: Asked) -> AsyncGenerator[str | bytes | Reply, None]:
        """An answer of one text or one clip as it is written: whole characters, or 16 bits at 24 kHz; then the reply without samples."""
        with self._gauges.request(_label(asked)), self._in_use() as now:
            work = await self._begin(asked, now)
            model, options = now.model, work.checked.options
            answers: list[Answer] = []

            async def pieces() -> AsyncGenerator[Piece, None]:
                async with aclosing(now.engine.write(work.query)) as written:
                    async for piece, row in written:
                        answers[:] = [row.answer]
                        yield piece

            def parts(given: Iterator[Piece]) -> Iterator[str | np.ndarray]:
                return model.stream_of(given, work.query.plan, options)

            async with aclosing(_through_thread(pieces(), parts, self._stream_threads)) as made:
                async for part in made:
                    yield part if isinstance(part, str) else pcm(part)
            result = model.result(work.checked.request, answers[0].result(), options, with_clips=False)
            yield self._reply(work, result, None)

    async def check_health(self) -> None:
        """Asked by Ray Serve, which replaces a replica whose decoding thread has ended."""
        engine = self._loaded.engine
        self._gauges.load(writing=engine.num_writing, waiting=engine.num_waiting)
        engine.check()

    def close(self) -> None:
        """Ends the threads; answers that are not done fail."""
        self._closes.set()
        self._loaded.engine.close()

    @contextmanager
    def _in_use(self) -> Iterator[ServedModel]:
        """The model that is served now, which is kept until the request within has ended."""
        with self._swapping:
            now = self._loaded
            now.num_requests += 1
        try:
            yield now
        finally:
            with self._swapping:
                now.num_requests -= 1

    async def _begin(self, asked: Asked, now: ServedModel) -> _Work:
        if asked.model and asked.model != self.name:
            raise UnknownModelError(f"`model` must be {self.name}, but is {asked.model!r}.")
        limits = self._service.limits

        def read() -> tuple[CheckedRequest, Query, float]:
            checked = read_asked(asked, limits, self._voices())
            return checked, *query_of(now.model, asked, checked, limits)

        return _Work(now, *await self._with_codec(read), _label(asked))

    async def _with_codec(self, run: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._codec_thread, run)

    def _reply(self, work: _Work, result: Result, samples: np.ndarray | None) -> Reply:
        answer = result.generated
        num_frames = len(answer.reconstruction_codes)
        self._gauges.audio(work.label, given_s=work.input_s, written_s=num_frames * RECONSTRUCTION_HOP / SAMPLE_RATE)
        return Reply(
            text=result.text,
            samples=samples,
            reasoning=answer.reasoning_codes.tolist(),
            reconstruction=answer.reconstruction_codes.tolist(),
            finished=result.finished,
            seed=work.checked.seed,
            model=self.name,
            num_given=len(work.query.prompt.ids),
            num_written=sum(len(segment.ids) for segment in answer.segments),
            input_s=work.input_s,
        )

    def _voices(self) -> dict[str, Path]:
        if not self._service.voices:
            return {}
        files = sorted(Path(self._service.voices).iterdir())
        return {file.stem: file for file in files if file.suffix.lower() in audio_suffixes()}

    def _load(self) -> ServedModel:
        version = version_of(self._service.model)
        model = UniAudio.from_pretrained(
            self._service.model, device=self._service.device, compile=self._service.compiles
        )
        _ = model.codec
        engine = Engine(model.parts.model, model.parts.vocabulary, num_rows=self._service.num_rows)
        return ServedModel(model, engine, version)

    def _watch(self) -> None:
        """Takes up another model that lies at the same place; a broken one is named and the old one stays."""
        tried = version = self._loaded.version
        while not self._closes.wait(self._service.reload_s):
            try:
                version = version_of(self._service.model)
                if version == self._loaded.version:
                    tried, self._problem = version, ""
                if version == tried:
                    continue
                loaded = self._load()
            except Exception as error:  # noqa: BLE001
                # Whatever is wrong with a folder that is being written: it has changed again when it is whole.
                # Whoever asks for the health is told no path; who reads the log is.
                tried, self._problem = version, _problem_of(error, self.name)
                log.warning("%s cannot be read: %s", self._service.model, error)
                continue
            with self._swapping:
                old, self._loaded = self._loaded, loaded
            tried, self._problem = loaded.version, ""
            log.info("serving %s of %s", tried, self._service.model)
            threading.Thread(target=_retire, args=(old,), daemon=True).start()


def _retire(old: ServedModel) -> None:
    """Ends a model that was replaced when it has answered all its requests."""
    while old.num_requests:
        time.sleep(_LOOK_S)
    old.engine.close()


def _problem_of(error: Exception, name: str) -> str:
    return f"The model that lies at {name} now cannot be read ({type(error).__name__}); the service's log says why."


def _label(asked: Asked) -> str:
    """The label of a request's metrics: a task that there is, however many others are asked for."""
    name = ALIASES.get(asked.task, asked.task)
    return name if name in TASKS else "unknown"


_END = object()


async def _through_thread(
    pieces: AsyncGenerator[Piece, None], make: Callable[[Iterator[Piece]], Iterator[Any]], threads: ThreadPoolExecutor
) -> AsyncGenerator[Any, None]:
    """What the generator `make` makes of `pieces`, in a thread of its own."""
    loop = asyncio.get_running_loop()
    given: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
    made: asyncio.Queue[Any] = asyncio.Queue()

    def work() -> None:
        end: Any = _END
        try:
            for part in make(iter(given.get, None)):
                loop.call_soon_threadsafe(made.put_nowait, part)
        except Exception as error:  # noqa: BLE001
            # Raised again where the parts are taken.
            end = error
        loop.call_soon_threadsafe(made.put_nowait, end)

    async def feed() -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    given.put(piece)
        finally:
            given.put(None)

    threads.submit(work)
    feeding = asyncio.create_task(feed())
    try:
        while (part := await made.get()) is not _END:
            if isinstance(part, Exception):
                raise part
            yield part
        await feeding
    finally:
        feeding.cancel()
