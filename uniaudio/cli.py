"""The one program `uniaudio`: what the model does lives here; packages above add their commands through the entry point group `uniaudio.commands`.

A `UniaudioError` ends in one line on standard error and exit code 2; Ctrl-C in exit code 130.
"""

import argparse
import sys
from importlib.metadata import entry_points
from typing import Any

from uniaudio_schemas.errors import UniaudioError

from uniaudio.codec import cli as codec

COMMANDS_GROUP = "uniaudio.commands"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `uniaudio` and of `python -m uniaudio`. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="uniaudio", description="An open UniAudio 2.0: from raw audio to a text-and-audio model."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    tasks = commands.add_parser("tasks", help="the tasks a model can be trained on")
    tasks.set_defaults(run=_tasks)
    codec.add_commands(commands)
    for entry_point in sorted(entry_points(group=COMMANDS_GROUP), key=lambda found: found.name):
        entry_point.load()(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except UniaudioError as error:
        print(f"uniaudio: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _tasks(_: Any) -> int:
    from uniaudio.tasks import TASKS

    width = max(len(name) for name in TASKS)
    for name, task in TASKS.items():
        print(f"{name:{width}}  {task.describe()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
