"""`uniaudio run` and `uniaudio tasks`: any task on files, folders, globs or texts.

    uniaudio run asr clip.wav                          -> the words
    uniaudio run tts --text "Good morning." --out hello.wav
    uniaudio run caption sounds/ "more/*.flac"         -> JSON lines, one an input
    uniaudio run qa clip.wav --text "Who speaks?" --stream
    uniaudio run tts --text "Good morning." --stream --out - | aplay -t raw -f S16_LE -r 24000
    uniaudio run conversation --turn "What is said here?" clip.wav --turn "How does the speaker feel?"

Text goes to standard output, progress and errors to standard error.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UniaudioError, UsageError

from uniaudio.run.arguments import add_model_options, add_sampling_options, answer_options, model_path, store_path
from uniaudio.run.conversation_cli import add_turn_options, has_turns, run_conversation
from uniaudio.run.inputs import add_input_options, requests_of
from uniaudio.run.jsonlines import JsonLines
from uniaudio.run.working import working

log = logging.getLogger(__name__)

_PROGRESS_S = 2.0
"""Seconds between lines of progress."""


def add_commands(commands: Any) -> None:
    """Adds `run` and `tasks` to `uniaudio`."""
    tasks = commands.add_parser("tasks", help="the tasks a model can be trained on")
    tasks.add_argument("--model", help="only those that this model was trained on")
    tasks.add_argument(
        "--store",
        nargs="?",
        const="",
        help="how much of each the store has, and why none (without a path: UNIAUDIO_STORE, data/store)",
    )
    tasks.add_argument("--json", action="store_true", help="print JSON")
    tasks.set_defaults(run=_tasks)
    run = commands.add_parser("run", help="let a trained model do a task: transcribe, speak, caption, answer, …")
    run.set_defaults(run=_run)
    add_input_options(run)
    add_turn_options(run)
    run.add_argument(
        "--out",
        type=Path,
        help="where audio goes: a .wav or .flac file; a folder for several inputs; with --stream - is standard output",
    )
    run.add_argument("--jsonl", type=Path, help="write JSON lines to this file (- is standard output)")
    run.add_argument(
        "--stream",
        action="store_true",
        help="print text, or write audio, as it is made (raw audio: 16 bits, 24 kHz, mono)",
    )
    add_model_options(run)
    run.add_argument(
        "--compile", action="store_true", help="answer through machine code: faster on a CPU, needs a C compiler"
    )
    add_sampling_options(run)


def _tasks(options: argparse.Namespace) -> int:
    from uniaudio.run.task_table import as_json, store_lines, store_records, task_lines, task_records
    from uniaudio.tasks import TASKS

    if options.store is not None:
        if options.model is not None:
            raise UsageError(
                "`--store` must be used without `--model`: one is what there is, the other what was learned."
            )
        from uniaudio_schemas.store import Store

        records = store_records(Store.from_uri(options.store or store_path()))
        print(as_json(records) if options.json else "\n".join(store_lines(records)))
        return 0
    names = list(TASKS)
    if options.model is not None:
        from uniaudio.run.model import UniAudio

        names = UniAudio.from_pretrained(options.model).tasks
    print(as_json(task_records(names)) if options.json else "\n".join(task_lines(names)))
    return 0


def _run(options: argparse.Namespace) -> int:
    from uniaudio.run.request import plan_of_task
    from uniaudio.tasks import find_task

    task = find_task(options.task)
    if has_turns(options, task):
        return run_conversation(options)
    requests = requests_of(options, task)
    plan = plan_of_task(task)
    num_clips = plan.count("reconstruction")
    if options.stream:
        _check_stream(options, task, len(requests), num_clips > 0)
    is_file = num_clips > 0 and not options.stream
    outputs = _output_paths(options, requests, num_clips) if is_file else []
    if options.out is not None and not num_clips:
        raise UsageError(f"`--out` must be given where audio is written, but {task.name} writes none: use `--jsonl`.")
    if options.batch < 1:
        raise UsageError(f"`--batch` must be 1 or more, but is {options.batch}.")
    answering = answer_options(options, task)
    with working(f"reading the model {model_path(options)}"):
        from uniaudio.run.model import UniAudio  # here: to load torch takes seconds

        model = UniAudio.from_pretrained(
            model_path(options),
            codec=options.codec,
            tokenizer=options.tokenizer,
            device=options.device,
            compile=options.compile,
        )
    if options.stream:
        return _stream(model, task, requests[0], answering, options.out if num_clips else None)
    as_json = options.jsonl is not None or len(requests) > 1 or set(plan) == {"reasoning"}
    lines = JsonLines(options.jsonl) if as_json else None
    num_broken = 0
    for number, result in _answers(model, task, requests, options, answering):
        name = requests[number].name
        if isinstance(result, UniaudioError):
            num_broken += 1
            print(f"uniaudio: {result}", file=sys.stderr)
            record = {"input": name, "task": task.name, "error": str(result)}
        else:
            files = _write_clips(result, outputs[number]) if num_clips else []
            record = _record(task, result, options.seed + number, files)
            if lines is None:
                print("\n".join([*files, *result.texts]))
            _say_if_cut_off(name, result.finished)
        if lines is not None:
            lines.write(record)
    return 2 if num_broken else 0


def _check_stream(options: argparse.Namespace, task: Any, num_requests: int, writes_audio: bool) -> None:
    from uniaudio.run.request import check_streams

    check_streams(task)
    if num_requests > 1 or options.jsonl:
        raise UsageError("`--stream` must be used with one input and without `--jsonl`.")
    if writes_audio and (options.out is None or (str(options.out) != "-" and options.out.suffix.lower() != ".wav")):
        raise UsageError(
            f"`--out` must be a .wav file, or - for raw samples, to be streamed, but is {options.out or 'empty'}."
        )


def _stream(model: Any, task: Any, request: Any, answering: Any, out: Path | None) -> int:
    """Text to standard output, or audio to `out`, piece by piece."""
    from uniaudio.run.clips import ClipWriter

    inputs = {name: getattr(request, name) for name in ("audio", "text", "style", "voice", "examples")}
    pieces = model.stream(task.name, **inputs, options=answering)
    if out is None:
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    else:
        writer = ClipWriter(out)
        try:
            for samples in pieces:
                writer.write(samples)
        finally:
            writer.close()
        if str(out) != "-":
            print(out)
    _say_if_cut_off(request.name, pieces.finished)
    return 0


def _say_if_cut_off(name: str, finished: str | None) -> None:
    if finished == "length":
        log.warning("%s: cut off at its limit (--max-text, --max-seconds)", name)


def _answers(
    model: Any, task: Any, requests: Sequence[Any], options: argparse.Namespace, answering: Any
) -> Iterator[tuple[int, Any]]:
    """Number and result of every request, batch by batch; says on standard error how far it is when it takes long.

    One of several inputs that cannot be read has its error for a result, and costs the others nothing.
    """
    from uniaudio.run.clips import with_clip_read

    started = last = time.monotonic()
    for first in range(0, len(requests), options.batch):

        def progress(num_done: int, num_written: int, first: int = first) -> None:
            nonlocal last
            if time.monotonic() - last >= _PROGRESS_S:
                last = time.monotonic()
                pulsing.beat()
                count, seconds = f"{first + num_done}/{len(requests)}", f"{last - started:.0f}"
                log.info("%s inputs, %d tokens and frames, %s s", count, num_written, seconds)

        answers: dict[int, Any] = {}
        readable: dict[int, Any] = {}
        for number, request in enumerate(requests[first : first + options.batch], start=first):
            try:
                readable[number] = with_clip_read(request)
            except UniaudioError as error:
                if len(requests) == 1:
                    raise
                answers[number] = error
        seeds = [options.seed + number for number in readable]
        with working(f"{task.name}: {first}/{len(requests)} inputs are answered") as pulsing:
            results = model.run_all(task.name, list(readable.values()), answering, progress, seeds)
        answers |= zip(readable, results, strict=True)
        yield from sorted(answers.items(), key=lambda item: item[0])


def _output_paths(options: argparse.Namespace, requests: Sequence[Any], num_clips: int) -> list[list[Path]]:
    """The audio files of every input; a clash of names is refused before anything is computed."""
    if options.out is None:
        raise UsageError("`--out` must name the audio file to write, or a folder for several inputs.")
    is_file = options.out.suffix.lower() in (".wav", ".flac")
    if options.out.suffix and not is_file:
        raise UsageError(f"`--out` must end with .wav or .flac, or be a folder, but is {options.out}.")
    if (is_file and len(requests) > 1) or (not is_file and options.out.is_file()):
        raise UsageError(f"`--out` must be a folder for {len(requests)} inputs, but is {options.out}.")
    wholes = [options.out if is_file else options.out / f"{Path(request.name).stem}.wav" for request in requests]
    paths = [_numbered(path, num_clips) for path in wholes]
    flat = [path for some in paths for path in some]
    if twice := [path for path, count in Counter(flat).items() if count > 1]:
        raise UsageError(f"The inputs must have different names, but two would write {twice[0]}.")
    input_paths = {Path(clip).resolve() for request in requests for clip in (request.audio, request.voice) if clip}
    if lost := [path for path in flat if path.resolve() in input_paths]:
        raise UsageError(f"`--out` must not lead to an input, but would replace {lost[0]}.")
    for folder in {path.parent for path in flat}:
        folder.mkdir(parents=True, exist_ok=True)
    return paths


def _numbered(path: Path, num_clips: int) -> list[Path]:
    """Several clips of one answer (the sources of a mixture) are numbered."""
    if num_clips == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number}") for number in range(1, num_clips + 1)]


def _write_clips(result: Any, paths: Sequence[Path]) -> list[str]:
    from uniaudio.run.clips import write_clip

    for path, samples in zip(paths, result.clips, strict=True):
        write_clip(path, samples)
    return [str(path) for path in paths]


def _record(task: Any, result: Any, seed: int, files: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = {"input": result.name, "task": task.name, "finished": result.finished, "seed": seed}
    if result.texts:
        record["text"] = result.text
    if len(result.texts) > 1:
        record["texts"] = list(result.texts)
    if not result.texts and not files:
        record["reasoning"] = result.generated.reasoning_codes.tolist()
    return {**record, "audio": files} if files else record
