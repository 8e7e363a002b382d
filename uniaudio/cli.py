"""The one program `uniaudio`: what the model does lives here; packages above add their commands through the entry point group `uniaudio.commands`.

A `UniaudioError` ends in one line on standard error and exit code 2; Ctrl-C in exit code 130.
"""

import argparse
import os
import signal
import sys
from importlib.metadata import entry_points

from uniaudio_schemas.errors import UniaudioError

from uniaudio.codec import cli as codec
from uniaudio.lm import cli as lm
from uniaudio.run import cli as run
from uniaudio.run import score_cli as score

COMMANDS_GROUP = "uniaudio.commands"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `uniaudio` and of `python -m uniaudio`. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="uniaudio", description="An open UniAudio 2.0: from raw audio to a text-and-audio model."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    score.add_command(commands)
    for layer in (run, codec, lm):
        layer.add_commands(commands)
    for entry_point in sorted(entry_points(group=COMMANDS_GROUP), key=lambda found: found.name):
        entry_point.load()(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except UniaudioError as error:
        # Torch lists every tensor that does not fit; the first says what is wrong.
        print("uniaudio:", " ".join(line.strip() for line in str(error).splitlines()[:2]), file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; nothing is left to write at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is None:
            raise
        print(f"uniaudio: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
