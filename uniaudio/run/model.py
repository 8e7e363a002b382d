"""A trained model, ready to answer. START HERE.

    model = UniAudio.from_pretrained("models/mine")
    model.run("asr", "clip.wav").text                                  -> "let's go"
    model.run("tts", text="Good morning.").audio                       -> [N] float32 at 24 kHz
    model.run_all("caption", [Request(audio=path) for path in paths])  -> one batch, one result a request
    for word in model.stream("qa", "clip.wav", text="Who speaks?"): …
    for samples in model.stream("tts", text="Good morning."): …        -> pieces [n] while later ones are written
    model.run("tts", text="Good morning.", temperature=0.7, top_k=20, max_seconds=3, seed=1)    # `options.Arguments` has them all
    UniAudio.from_pretrained("owner/name").push_to_hub("me/mine")      -> a hub, where huggingface_hub is installed

Clips are encoded by the codec, laid out as the task says, answered by `uniaudio.lm.generate` and decoded again.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.audio.frames import RECONSTRUCTION_HOP
from uniaudio.audio.loudness import limit_peak
from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.lm.answer import Generated, Piece
from uniaudio.lm.generate import Decoding
from uniaudio.lm.grammar import TEXT
from uniaudio.lm.running_batch import Query
from uniaudio.lm.score import Score, score
from uniaudio.run.clips import read_clip
from uniaudio.run.folder import Parts, load_parts, save_parts, to_device
from uniaudio.run.options import Arguments, default_sampling, options_of, sampling_of
from uniaudio.run.options import Options as Options
from uniaudio.run.release import fetch_from_hub, is_hub_id, push_to_hub
from uniaudio.run.request import (
    Audio,
    Request,
    check_runnable,
    check_streams,
    condition_of,
    continues_text,
    is_runnable,
    plan_of_task,
)
from uniaudio.run.streaming import Stream, audio_pieces, text_pieces, window_latents
from uniaudio.sequence.build import lay_out_segments
from uniaudio.sequence.layout import Grid, Segment, lay_out
from uniaudio.tasks import TASKS, Task, find_task
from uniaudio.tasks.conversation import CONVERSATION

Progress = Callable[[int, int], None]
"""Is told the answers that are done and the positions written so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One answer."""

    name: str
    text: str
    """Text of the last text segment; empty where the task writes audio alone."""
    texts: tuple[str, ...]
    clips: tuple[np.ndarray, ...]
    """Every clip written, `[N]` float32 at 24 kHz, in order."""
    generated: Generated
    """Codes and ids as they were sampled."""

    @property
    def audio(self) -> np.ndarray:
        """The first clip; UsageError where the task writes text alone."""
        if not self.clips:
            raise UsageError("`audio` must be of a task that writes audio, but this answer holds text alone.")
        return self.clips[0]

    @property
    def finished(self) -> Literal["stop", "length"]:
        """`length` where a segment met its cap."""
        return self.generated.finished


class UniAudio:
    """The one front door to all tasks."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        codec: str | Path | None = None,
        tokenizer: str | Path | None = None,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        compile: bool = False,
        revision: str | None = None,
    ) -> "UniAudio":
        """The model at `path`: a folder that `save` or `uniaudio lm import` wrote, a store with a checkpoint, or `owner/name` of a hub,
        at a `revision` of it.

        `compile`: whether answers are written by machine code (`UniAudioLM.compile_decoding`).
        """
        folder = fetch_from_hub(str(path), revision) if is_hub_id(path) else path
        parts = load_parts(folder, codec=codec, tokenizer=tokenizer)
        to_device(parts, device, dtype)
        parts.model.compile_decoding(compile)
        return cls(parts)

    @cached_property
    def codec(self) -> ReasoningCodec:
        """Read when the first clip is encoded or decoded."""
        return self.parts.load_codec().to(self.parts.model.device).eval()

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that it was trained on and can run. Where its mixture groups alone are known: all tasks of those."""
        runnable = (task for task in TASKS.values() if is_runnable(task) or task is CONVERSATION)
        return [task.name for task in runnable if self._knows(task)]

    def run(
        self,
        task: str,
        audio: Audio | None = None,
        *,
        text: str = "",
        style: str = "",
        voice: Audio | None = None,
        examples: Sequence[tuple[Audio, ...]] = (),
        options: Options | None = None,
        **arguments: Unpack[Arguments],
    ) -> Result:
        """The answer to one request; `request.Request` says what the inputs are, `options.Arguments` how it may be written: each counts
        more than `options` does."""
        request = Request(audio=audio, text=text, style=style, voice=voice, examples=tuple(examples))
        return self.run_all(task, [request], options_of(find_task(task), options, arguments))[0]

    def run_all(
        self,
        task: str,
        requests: Sequence[Request],
        options: Options | None = None,
        on_progress: Progress | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Result]:
        """The answers to `requests`, written in one batch; row i draws from `seeds[i]`, or from the seed plus i."""
        settings = options or Options()
        definition = self._find(task)
        if not requests:
            return []
        return self._finish(self._decoding(definition, requests, settings, seeds), requests, settings, on_progress)

    def write(self, grid: Grid, plan: Sequence[str], options: Options, *, name: str = "") -> Result:
        """What the model writes behind a prompt on the grid: segments of the kinds `plan`."""
        caps, sampling = (options.max_frames, options.max_text), options.sampling or sampling_of(plan)
        decoding = Decoding(self.parts.model, [grid], self.parts.vocabulary, tuple(plan), caps, sampling, None)
        return self._finish(decoding, [Request(name=name)], options)[0]

    def _finish(
        self, decoding: Decoding, requests: Sequence[Request], options: Options, on_progress: Progress | None = None
    ) -> list[Result]:
        num_written = 0
        for _, piece in decoding.run():
            num_written += bool(piece.ids)
            if on_progress is not None:
                on_progress(sum(answer.is_done for answer in decoding.answers), num_written)
        answers = [answer.result() for answer in decoding.answers]
        waveforms = iter(self._decode([codes for answer in answers for codes in _codes_of(answer)], options))
        return [
            self._result(request, answer, tuple(next(waveforms) for _ in _codes_of(answer)))
            for request, answer in zip(requests, answers, strict=True)
        ]

    def stream(
        self,
        task: str,
        audio: Audio | None = None,
        *,
        text: str = "",
        style: str = "",
        voice: Audio | None = None,
        examples: Sequence[tuple[Audio, ...]] = (),
        options: Options | None = None,
        **arguments: Unpack[Arguments],
    ) -> Stream:
        """The answer as it is written: text in pieces of whole characters, or audio in pieces `[n]` float32 at 24 kHz
        (`uniaudio.run.streaming`)."""
        definition = self._find(task)
        settings = options_of(definition, options, arguments)
        check_streams(definition)
        request = Request(audio=audio, text=text, style=style, voice=voice, examples=tuple(examples))
        decoding = self._decoding(definition, [request], settings)
        pieces = (piece for _, piece in decoding.run())
        return Stream(decoding, self.stream_of(pieces, plan_of_task(definition), settings))

    def query(self, task: str, request: Request, options: Options | None = None) -> Query:
        """The query for a running batch that belongs to one request, with its clips encoded. `result` turns its output into an answer."""
        definition, settings = self._find(task), options or Options()
        [prompt] = self._prompts(definition, [request], settings)
        return self.query_of_grid(prompt, plan_of_task(definition), settings)

    def query_of_grid(self, grid: Grid, plan: Sequence[str], options: Options) -> Query:
        """The query for a prompt on the grid, behind which segments of the kinds `plan` are written."""
        sampling = options.sampling or sampling_of(plan)
        return Query(
            prompt=grid,
            plan=tuple(plan),
            max_frames=options.max_frames,
            max_text=options.max_text,
            sampling=sampling,
            seed=sampling.seed,
        )

    def stream_of(
        self, pieces: Iterable[Piece], plan: Sequence[str], options: Options
    ) -> Iterator[str] | Iterator[np.ndarray]:
        """The output of `stream` for the pieces of an answer while it is written: text, or audio."""
        if tuple(plan) == (TEXT,):
            return text_pieces(pieces, self.parts.tokenizer)
        return audio_pieces(pieces, self.codec, steps=options.decode_steps, window_s=options.decode_window_s)

    def result(self, request: Request, answer: Generated, options: Options, *, with_clips: bool = True) -> Result:
        """The answer to one request; without its clips nothing is decoded."""
        codes = _codes_of(answer) if with_clips else []
        return self._result(request, answer, tuple(self._decode(codes, options)))

    def score(self, task: str, answers: Sequence[str], request: Request, options: Options | None = None) -> list[Score]:
        """The log likelihood of each of `answers` (texts) to a request, its opening tag and its end included."""
        definition, settings = self._find(task), options or Options()
        slots = [slot for slot in definition.order if slot.loss]
        if len(slots) != 1 or slots[0].kind != TEXT:
            raise UsageError(
                f"`task` must write one text to score texts, but is {definition.name} ({definition.describe()})."
            )
        [prompt] = self._prompts(definition, [request], settings)
        tokenizer, specials = self.parts.tokenizer, self.parts.tokenizer.specials
        wrapper = slots[0].wrapper
        begin = [specials[f"{wrapper}_start"]] if wrapper else []
        if not continues_text(definition):
            begin.append(specials["bos"])
        ids = [[*begin, *tokenizer.encode(answer), specials["eos"]] for answer in answers]
        return score(self.parts.model, prompt, [lay_out([_text_segment(one)]) for one in ids])

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes a folder that `from_pretrained` reads and that needs no store, with what a hub and transformers look for in it; weights
        in `dtype`, or as they are."""
        save_parts(self.parts, folder, dtype)

    def push_to_hub(self, repo_id: str, *, private: bool = True) -> str:
        """Sends what `save` writes to `owner/name` of a hub, with the token that huggingface_hub finds. Returns its address."""
        with tempfile.TemporaryDirectory() as temporary:
            self.save(temporary)
            return push_to_hub(Path(temporary), repo_id, private=private)

    def _knows(self, task: Task) -> bool:
        return bool({task.name, task.mixture} & self.parts.tasks)

    def _find(self, name: str) -> Task:
        task = find_task(name)
        check_runnable(task)
        if not self._knows(task):
            names = ", ".join(self.tasks) or "none that it can run"
            raise UsageError(f"`task` must be one that the model was trained on ({names}), but is {task.name}.")
        return task

    def _decoding(
        self, task: Task, requests: Sequence[Request], options: Options, seeds: Sequence[int] | None = None
    ) -> Decoding:
        plan = plan_of_task(task)
        sampling = options.sampling or default_sampling(task)
        prompts = self._prompts(task, requests, options)
        caps = (options.max_frames, options.max_text)
        return Decoding(self.parts.model, prompts, self.parts.vocabulary, plan, caps, sampling, seeds)

    def _prompts(self, task: Task, requests: Sequence[Request], options: Options) -> list[Grid]:
        """Each request on the grid; all their clips are encoded together."""
        conditions = [
            condition_of(task, request, seed=options.wording, language=options.language) for request in requests
        ]
        waveforms = [read_clip(clip) for condition in conditions for clip in condition.clips.values()]
        codes = iter(self.codec.encode(waveforms) if waveforms else [])
        grids = []
        for condition, request in zip(conditions, requests, strict=True):
            tokens = {name: tokens_of(name, next(codes)) for name in condition.clips}
            segments = lay_out_segments(
                condition.segments, tokens, self.parts.tokenizer, self.parts.vocabulary, seed=str(options.wording)
            )
            if continues_text(task):
                start = [self.parts.tokenizer.specials["bos"], *self.parts.tokenizer.encode(request.text)]
                segments.append(_text_segment(start))
            grids.append(lay_out(segments))
        return grids

    def _decode(self, codes: list[Codes], options: Options) -> list[np.ndarray]:
        if not codes:
            return []
        latents = window_latents(options.decode_window_s, self.codec)
        waveforms = self.codec.decode(codes, steps=options.decode_steps, window_latents=latents)
        return [limit_peak(np.nan_to_num(samples)) for samples in waveforms]

    def _result(self, request: Request, answer: Generated, clips: tuple[np.ndarray, ...]) -> Result:
        specials = self.parts.tokenizer.specials.values()
        texts = tuple(
            self.parts.tokenizer.decode([int(i) for i in ids if int(i) not in specials]).strip()
            for ids in answer.all_of(TEXT)
        )
        return Result(name=request.name, text=texts[-1] if texts else "", texts=texts, clips=clips, generated=answer)


def _codes_of(answer: Generated) -> list[Codes]:
    """The clips of an answer: each reconstruction segment, with the reasoning segment before it."""
    clips, reasoning = [], np.zeros((0, 8), np.int16)
    for segment in answer.segments:
        if segment.kind == "reasoning":
            reasoning = segment.ids
        elif segment.kind == "reconstruction":
            clips.append(Codes(reasoning, segment.ids, len(segment.ids) * RECONSTRUCTION_HOP))
    return clips


def tokens_of(name: str, codes: Codes) -> Tokens:
    """Codes in the form of a row of `tokens`."""
    return Tokens(
        clip_id=name,
        num_samples=codes.num_samples,
        reasoning_codes=codes.reasoning,
        reconstruction_codes=codes.reconstruction,
    )


def _text_segment(ids: list[int]) -> Segment:
    return Segment(np.asarray(ids, np.int64), False)
