"""The page: sections in the order of the data flow."""

import html
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from uniaudio_schemas.store import Store

from uniaudio_flows.report import sections

STYLE = Path(__file__).with_name("style.css")


def write_report(store: Store, path: Path) -> Path:
    """Write the page for the versions behind `latest`; returns its path."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>UniAudio report</title><style>{STYLE.read_text()}</style><main><h1>From audio to model</h1>",
        sections.data_flow(store),
        sections.dropped(store),
        sections.curves(store),
        sections.listening(store),
        sections.tokens(store),
        sections.scores(store),
        sections.cost(store),
        "</main></html>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
    Path(name).chmod(0o644)
    Path(name).replace(path)
    return path


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table; numbers are set right."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"<td class=number>{value:.4g}</td>"
    if isinstance(value, int):
        return f"<td class=number>{value:,}</td>"
    return f"<td>{html.escape(str(value))}</td>"
