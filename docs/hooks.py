"""What mkdocs asks for while it builds: tables that the code fills, in place of a line `<!-- commands -->`, `<!-- flows -->` or `<!-- tasks -->`."""

import argparse
from collections.abc import Iterator
from typing import Any

COLUMNS = 100


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its tables filled; mkdocs calls it for every page."""
    for marker, made in (("<!-- commands -->", commands), ("<!-- flows -->", flows), ("<!-- tasks -->", tasks)):
        if marker in markdown:
            markdown = markdown.replace(marker, made())
    return markdown


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all below it, each behind the one that it belongs to."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from parsers(below)


def commands() -> str:
    """The help of every command, as `-h` prints it."""
    from uniaudio.cli import make_parser

    lines = []
    for parser in parsers(make_parser()):
        parser.formatter_class = _Narrow
        lines += [f"### {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


class _Narrow(argparse.HelpFormatter):
    """Equally wide whatever the terminal of whoever builds."""

    def __init__(self, prog: str, **_: Any) -> None:
        super().__init__(prog, width=COLUMNS)


def flows() -> str:
    """One table a flow: parameter, default, help."""
    from uniaudio_flows.everything import STEPS
    from uniaudio_flows.parameters import parameters_of

    lines = []
    for step in STEPS:
        lines += [f"### {step.flow}", "", f"Makes `{step.kind}`.", "", "| parameter | default | |", "|---|---|---|"]
        for name, field in parameters_of(step).items():
            default = "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
            lines.append(f"| `{name}` | {default} | {_cell(field.description or '')} |")
        lines.append("")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return "its own defaults"
    text = str(value)
    return (
        f"`{text}`"
        if 0 < len(text) <= 40
        else ("" if not text else f"{len(value)} names" if isinstance(value, (tuple, list)) else "")
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def tasks() -> str:
    """One row a task: what goes in, what comes out, what it is judged by."""
    from uniaudio.tasks import TASKS

    lines = ["| task | given -> written | judged by |", "|---|---|---|"]
    lines += [f"| `{task.name}` | {_cell(task.describe())} | {', '.join(task.metrics)} |" for task in TASKS.values()]
    return "\n".join(lines)
