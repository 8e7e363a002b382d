"""The one program `uniaudio`: what the model does lives here; packages above add their commands through the entry point group `uniaudio.commands`.

A `UniaudioError` ends in one line on standard error and exit code 2; Ctrl-C in exit code 130.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
from importlib.metadata import entry_points

from uniaudio_schemas.errors import UniaudioError

from uniaudio.codec import cli as codec
from uniaudio.run import cli as run
from uniaudio.run import lm_cli as lm
from uniaudio.run import plan_cli as plan
from uniaudio.run import score_cli as score

COMMANDS_GROUP = "uniaudio.commands"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `uniaudio` and of `python -m uniaudio`. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="uniaudio", description="An open UniAudio 2.0: from raw audio to a text-and-audio model."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    score.add_command(commands)
    plan.add_command(commands)
    for layer in (run, codec, lm):
        layer.add_commands(commands)
    for entry_point in sorted(entry_points(group=COMMANDS_GROUP), key=lambda found: found.name):
        entry_point.load()(commands)
    options = _parse(parser, arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal cannot show, such as a file's name of odd bytes, is escaped and loses no result.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = int(options.run(options) or 0)
        print(end="", flush=True)
        return code
    except KeyboardInterrupt:
        return 130
    except (UniaudioError, OSError, MemoryError, RuntimeError) as error:
        return _end(error)


def _parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """As `parse_args`, but inputs may also stand behind options: argparse takes those in front of the first one alone."""
    options, rest = parser.parse_known_args(arguments)
    if rest and ("inputs" not in options or any(given.startswith("-") for given in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.inputs += rest
    return options


def _end(error: Exception) -> int:
    """Says in one line what is no defect of ours; anything else goes on."""
    if isinstance(error, BrokenPipeError):
        # The reader, such as `head`, has seen enough; nothing is left to write at exit.
        _drop_output()
        return 128 + signal.SIGPIPE
    if isinstance(error, UniaudioError):
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
