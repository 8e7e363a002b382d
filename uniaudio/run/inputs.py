"""What `uniaudio run` and `uniaudio score` are given: files, folders and globs of audio, or texts, as requests."""

import argparse
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError


def add_input_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="a name or alias that `uniaudio tasks` lists")
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="audio files, folders or globs; texts: a .txt, a line each"
    )
    parser.add_argument("--text", default="", help="what to say, or to ask")
    parser.add_argument("--style", default="", help="how to say it (instruct_tts)")
    parser.add_argument("--voice", help="clip of the voice to speak in (prompt_tts)")
    parser.add_argument(
        "--example",
        nargs="+",
        action="append",
        default=[],
        metavar="PART",
        help="a solved example, its parts in order (vc: source.wav target.wav); may be repeated",
    )


def requests_of(options: argparse.Namespace, task: Any) -> list[Any]:
    """One request for each input."""
    from uniaudio.run.request import Request, check_examples, check_runnable, needs_audio

    check_runnable(task)
    check_examples(task, options.example)
    shared = {
        "style": options.style,
        "voice": options.voice,
        "examples": tuple(tuple(example) for example in options.example),
    }
    if needs_audio(task):
        paths = [path for pattern in options.inputs for path in _files(pattern)]
        if not paths:
            raise UsageError(f"Task {task.name} needs audio: name files, folders or globs as INPUT.")
        return [Request(audio=path, text=options.text, name=str(path), **shared) for path in paths]
    texts = [line for pattern in options.inputs for line in _text_lines(Path(pattern), task.name)]
    if texts and options.text:
        raise UsageError("`--text` must not be given beside a file of texts.")
    if not texts:
        return [Request(text=options.text, name=task.name, **shared)]
    return [Request(text=text, name=f"{task.name}-{number:04}", **shared) for number, text in enumerate(texts)]


def _files(given: str) -> list[Path]:
    """A file, the audio files below a folder, or what a glob finds; in order of name."""
    from uniaudio.audio.read import audio_suffixes

    if not given:
        raise UsageError("INPUT must name a file, a folder or a glob, but is empty.")
    path = Path(given)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in audio_suffixes() and file.is_file())
    elif path.exists() or not any(letter in given for letter in "*?["):
        return [path]
    else:
        root = Path(path.anchor or ".")
        files = sorted(file for file in root.glob(str(path.relative_to(path.anchor))) if file.is_file())
    if not files:
        raise UsageError(f"INPUT must lead to audio files, but {given} leads to none.")
    return files


def _text_lines(path: Path, task: str) -> list[str]:
    if path.suffix.lower() != ".txt":
        raise UsageError(f"Task {task} takes no audio but `--text`, or a .txt file with a text a line, but got {path}.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text ({error}).") from error
    return [line for line in lines if line.strip()]
