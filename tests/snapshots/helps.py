"""What `uniaudio … --help` says, of every command: one text, the same on every Python and in every terminal.

python -m tests.snapshots.helps       writes tests/snapshots/help.txt anew: do so when a change is meant, and read the difference
"""

import argparse
import os
import textwrap
from pathlib import Path

from docs.hooks import parsers
from uniaudio.cli import make_parser

FILE = Path(__file__).with_name("help.txt")
COLUMNS = 100
RULE = "=" * COLUMNS


def helps() -> str:
    """Every command under a heading, in the order in which `uniaudio --help` lists them."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(COLUMNS)
    try:
        return "\n".join(f"{RULE}\n{one.prog} --help\n{RULE}\n{_help(one)}" for one in parsers(make_parser()))
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


class _Invocations(argparse.HelpFormatter):
    """`-o, --out OUT`, as Python 3.13 writes; earlier ones write `-o OUT, --out OUT`."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = type("Formatter", (_Invocations, parser.formatter_class), {})
    usage, _, rest = parser.format_help().partition("\n\n")
    # Pythons break the lines of a usage at different places.
    usage = textwrap.fill(" ".join(usage.split()), COLUMNS - 2, subsequent_indent=" " * len("usage: "))
    return f"{usage}\n\n{rest}"


if __name__ == "__main__":
    FILE.write_text(helps(), encoding="utf-8")
