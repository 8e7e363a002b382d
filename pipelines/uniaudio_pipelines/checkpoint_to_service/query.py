"""What was asked, as the model reads it: uploads become samples, limits are held, the prompt is laid out."""

import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UniaudioError, UsageError
from uniaudio_schemas.kinds.instructions import InstructionSegment

from uniaudio.audio.frames import SAMPLE_RATE, UNIT
from uniaudio.lm.grammar import MODES
from uniaudio.lm.running_batch import Query
from uniaudio.run.clips import read_clip
from uniaudio.run.conversation import lay_out_turn
from uniaudio.run.model import UniAudio
from uniaudio.run.options import Options, default_sampling, sampling_of
from uniaudio.run.request import Audio, Request
from uniaudio.run.task_table import task_forms
from uniaudio.sequence.layout import Segment, lay_out
from uniaudio.tasks import find_task
from uniaudio.tasks.conversation import CONVERSATION, turn_segments
from uniaudio_pipelines.checkpoint_to_service.asked import Asked, TooLargeError, Turn, Upload
from uniaudio_pipelines.checkpoint_to_service.settings import Limits
from uniaudio_pipelines.checkpoint_to_service.uploads import DecodingTime, read_upload

log = logging.getLogger(__name__)
MOST_DRAWN_SEED = 1 << 31


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRequest:
    """A request within the limits, its uploads read."""

    request: Request
    options: Options
    seed: int
    input_s: float


def read_asked(asked: Asked, limits: Limits, voices: Mapping[str, Path]) -> CheckedRequest:
    """Checks what can be checked without the uploads, then reads them. UsageError or `TooLargeError` where something is wrong."""
    _check_text(asked, limits)
    _check_examples(asked)
    seed = secrets.randbelow(MOST_DRAWN_SEED) if asked.seed is None else asked.seed
    options = _options(asked, limits, seed)
    clips = _Clips(limits.input_s)
    voice: Audio | None = clips.read(asked.voice)
    if asked.voice_name:
        voice = _voice(asked.voice_name, voices)
    examples = tuple(
        tuple(part if isinstance(part, str) else clips.of(part) for part in example) for example in asked.examples
    )
    request = Request(
        audio=clips.read(asked.audio),
        text=asked.text,
        style=asked.style,
        voice=voice,
        examples=examples,
        name=asked.task,
    )
    return CheckedRequest(request=request, options=options, seed=seed, input_s=clips.used_s)


def query_of(model: UniAudio, asked: Asked, checked: CheckedRequest, limits: Limits) -> tuple[Query, float]:
    """The query, its clips encoded, and the seconds of audio that it was given."""
    if not asked.turns:
        return model.query(asked.task, checked.request, checked.options), checked.input_s
    if CONVERSATION.name not in model.tasks:
        raise UsageError("This model was not trained on conversations: ask for one of its tasks at `/v1/tasks`.")
    clips = _Clips(limits.input_s)
    segments = [segment for turn in asked.turns for segment in _turn(model, turn, asked, clips)]
    plan = MODES["audio" if asked.speaks else "text"]
    return model.query_of_grid(lay_out(segments), plan, checked.options), clips.used_s


def _turn(model: UniAudio, turn: Turn, asked: Asked, clips: "_Clips") -> Iterator[Segment]:
    """A message as training lays it out: what is asked and heard, or what was answered, with its end."""
    name = "clip"
    heard = {} if turn.audio is None else {name: clips.of(turn.audio)}
    if turn.role == "assistant":
        parts = [InstructionSegment(kind="text", loss=False, text=turn.text, wrapper="answer")] if turn.text else []
    else:
        words = asked.words.strip() if turn is asked.turns[-1] else ""
        parts = turn_segments(turn.text.strip(), words, name if heard else "")
    if not parts:
        raise UsageError("A message must hold a text or a sound, but holds neither.")
    yield from lay_out_turn(model, parts, heard)


def _options(asked: Asked, limits: Limits, seed: int) -> Options:
    most_s = min(asked.max_seconds if asked.max_seconds is not None else Options().max_seconds, limits.answer_s)
    most_text = min(asked.max_text if asked.max_text is not None else Options().max_text, limits.answer_text)
    if asked.max_seconds is not None and asked.max_seconds > limits.answer_s:
        raise UsageError(f"`max_seconds` must be {limits.answer_s:g} at most, but is {asked.max_seconds:g}.")
    if asked.max_text is not None and asked.max_text > limits.answer_text:
        raise UsageError(f"`max_text` must be {limits.answer_text} at most, but is {asked.max_text}.")
    of_turn = sampling_of(MODES["audio" if asked.speaks else "text"])
    sampling = of_turn if asked.turns else default_sampling(find_task(asked.task))
    given: dict[str, Any] = {
        "temperature": asked.temperature,
        "top_k": asked.top_k,
        "top_p": asked.top_p,
        "cfg_scale": asked.guidance,
        "repetition_penalty": asked.repetition_penalty,
        "seed": seed,
    }
    sampling = replace(sampling, **{name: value for name, value in given.items() if value is not None})
    return Options(
        sampling=sampling, max_seconds=most_s, max_text=most_text, language=asked.language, wording=asked.wording
    )


def _check_text(asked: Asked, limits: Limits) -> None:
    texts = [asked.text, asked.style, asked.words, *(turn.text for turn in asked.turns)]
    texts += [part for example in asked.examples for part in example if isinstance(part, str)]
    if (length := sum(map(len, texts))) > limits.prompt_text:
        raise UsageError(
            f"The texts of a request must hold {limits.prompt_text} characters at most, but hold {length}."
        )
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise UsageError("The texts of a request must be whole characters, but hold half of one.") from error


def _check_examples(asked: Asked) -> None:
    """UsageError where an example has a text in the place of a clip, which `Request` would take for a file here, or the other way round."""
    if not asked.examples:
        return
    name = find_task(asked.task).name
    [kinds] = [form["examples"]["parts"] for form in task_forms([name])] or [[]]
    for example in asked.examples:
        for number, (part, kind) in enumerate(zip(example, kinds, strict=False), start=1):
            if isinstance(part, str) != (kind == "text"):
                given = "a text" if isinstance(part, str) else "a file"
                raise UsageError(
                    f"An example of task {name} must hold {', '.join(kinds)}, but its part {number} is {given}."
                )


def _voice(name: str, voices: Mapping[str, Path]) -> Audio:
    if name not in voices:
        known = ", ".join(["default", *sorted(voices)])
        raise UsageError(f"`voice` must be one of {known}, but is {name!r}.")
    try:
        return read_clip(voices[name])
    except UniaudioError as error:
        # The sentence would name the file, which is not the client's.
        log.warning("the voice %s cannot be read: %s", name, error)
        raise UsageError(
            f"`voice` must be one that can be read, but {name!r} is not: the service's log says why."
        ) from error


class _Clips:
    """Reads the clips of a request, which together may last `most_s` seconds; `used_s` is how long those that were read last."""

    def __init__(self, most_s: float) -> None:
        self._most_s, self.used_s, self._encoded_s = most_s, 0.0, 0.0
        self._time = DecodingTime.of(most_s)
        self._read: dict[int, np.ndarray] = {}

    def read(self, upload: Upload | None) -> np.ndarray | None:
        return None if upload is None else self.of(upload)

    def of(self, upload: Upload) -> np.ndarray:
        # A file that is named often is decoded once; the request keeps it, so that its id is its own.
        samples = self._read.get(id(upload))
        if samples is None:
            samples = read_upload(upload.data, upload.name, most_s=self._most_s, time=self._time)
            self._read[id(upload)] = samples
        self.used_s += len(samples) / SAMPLE_RATE
        # Encoding pads a clip, so that one of a single sample costs as much.
        self._encoded_s += max(len(samples), UNIT) / SAMPLE_RATE
        if self._encoded_s > self._most_s:
            raise TooLargeError(
                f"The clips of a request must last {self._most_s:g} seconds at most together, each counted as "
                f"{UNIT / SAMPLE_RATE:g} or more, but last longer."
            )
        return samples
