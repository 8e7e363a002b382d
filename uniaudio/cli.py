"""The one program `uniaudio`: what the model does lives here; packages above add their commands through the entry point group `uniaudio.commands`.

A `UniaudioError`, and a package that is not installed, end in one line on standard error and exit code 2; Ctrl-C in exit code 130.

    uniaudio --version
    uniaudio -q run caption sounds/                    # answers and errors alone; `-v`: what libraries say, too
    uniaudio --print-completion bash > ~/.local/share/bash-completion/completions/uniaudio
"""

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
from importlib.metadata import entry_points
from typing import Any

from uniaudio_schemas.errors import UniaudioError
from uniaudio_schemas.extras import install_hint

import uniaudio
from uniaudio import licences_cli
from uniaudio.codec import cli as codec
from uniaudio.run import cli as run
from uniaudio.run import lm_cli as lm
from uniaudio.run import plan_cli as plan
from uniaudio.run import score_cli as score

COMMANDS_GROUP = "uniaudio.commands"
OURS = ("uniaudio", "uniaudio_schemas", "uniaudio_pipelines", "uniaudio_flows")
SHELLS = ("bash", "zsh", "tcsh")


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `uniaudio` and of `python -m uniaudio`. Returns the exit code."""
    options = _parse(make_parser(), arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal cannot show, such as a file's name of odd bytes, is escaped and loses no result.
            stream.reconfigure(errors="backslashreplace")
    _log_to_stderr(getattr(options, "verbose", 0) - getattr(options, "quiet", 0))
    try:
        code = int(options.run(options) or 0)
        print(end="", flush=True)
        return code
    except KeyboardInterrupt:
        return 130
    except (UniaudioError, OSError, MemoryError, RuntimeError, ModuleNotFoundError) as error:
        return _end(error)


def make_parser() -> argparse.ArgumentParser:
    """The parser with the commands of every installed package."""
    parser = argparse.ArgumentParser(
        prog="uniaudio", description="An open UniAudio 2.0: from raw audio to a text-and-audio model."
    )
    parser.add_argument("--version", action="version", version=f"uniaudio {uniaudio.__version__}")
    parser.add_argument(
        "--print-completion", action=_Completion, choices=SHELLS, help="print a shell's completion of these commands"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    score.add_command(commands)
    plan.add_command(commands)
    licences_cli.add_command(commands)
    for layer in (run, codec, lm):
        layer.add_commands(commands)
    for entry_point in sorted(entry_points(group=COMMANDS_GROUP), key=lambda one: one.name):
        entry_point.load()(commands)
    _add_volume(parser)
    return parser


def _add_volume(parser: argparse.ArgumentParser) -> None:
    """`-v` and `-q` in front of a command or behind it, as people type them."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for flag, name, text in (("-v", "verbose", "say more"), ("-q", "quiet", "say results and errors alone")):
        parser.add_argument(flag, f"--{name}", action="count", default=argparse.SUPPRESS, help=text)
    for action in nested:
        for child in dict.fromkeys(action.choices.values()):
            _add_volume(child)


def _log_to_stderr(volume: int) -> None:
    """Log warnings and progress of our modules. `-v` adds what other libraries say, `-q` leaves errors alone."""
    level = {-1: logging.ERROR, 0: logging.INFO}.get(max(-1, min(volume, 1)), logging.DEBUG)
    logging.basicConfig(format="uniaudio: %(message)s", stream=sys.stderr, level=logging.WARNING)
    logging.getLogger().setLevel(logging.INFO if volume > 0 else logging.ERROR if volume < 0 else logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)


class _Completion(argparse.Action):
    """Prints and ends, as `--version` does."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        try:
            import shtab
        except ModuleNotFoundError as error:
            parser.exit(2, f"uniaudio: {install_hint(error)}\n")
        print(shtab.complete(parser, values))
        parser.exit(0)


def _parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Like `parse_args`, but inputs may also stand behind options. argparse takes only those in front of the first option."""
    options, unparsed = parser.parse_known_args(arguments)
    if unparsed and ("inputs" not in options or any(given.startswith("-") for given in unparsed)):
        parser.error(f"unrecognized arguments: {' '.join(unparsed)}")
    if unparsed:
        options.inputs += unparsed
    return options


def _end(error: Exception) -> int:
    """Says in one line what is no defect of ours; anything else goes on."""
    if isinstance(error, BrokenPipeError):
        # The reader, such as `head`, has seen enough; nothing is left to write at exit.
        _drop_output()
        return 128 + signal.SIGPIPE
    if isinstance(error, ModuleNotFoundError) and not isinstance(error, UniaudioError):
        if (error.name or "").partition(".")[0] in OURS:
            raise error
        line = install_hint(error)
    elif isinstance(error, UniaudioError):
        # Torch lists every tensor that does not fit; the first says what is wrong.
        line = " ".join(line.strip() for line in str(error).splitlines()[:2])
    elif isinstance(error, OSError):
        if error.filename is None:
            # What is written, such as standard output on a full disk.
            _drop_output()
        line = f"{error.filename or 'output'}: {error.strerror or error}"
    elif _is_out_of_memory(error):
        line = "memory is full: use a lower `--batch`, `--max-seconds` or `--max-text`, or a smaller model."
    else:
        raise error
    print("uniaudio:", line, file=sys.stderr)
    return 2


def _drop_output() -> None:
    # None where it was closed; a stand-in without a descriptor has nothing that would be written at exit.
    if sys.stdout is not None:
        with contextlib.suppress(io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has a class of its own for a GPU's memory, and none for the machine's."""
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "allocate memory" in str(error)


if __name__ == "__main__":
    sys.exit(main())
