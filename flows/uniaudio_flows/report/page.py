"""The page: sections in the order of the data flow."""

import os
import tempfile
from pathlib import Path

from uniaudio_schemas.store import Store

from uniaudio_flows.report import sections

STYLE = Path(__file__).with_name("style.css")


def write_report(store: Store, path: Path) -> Path:
    """Write the page for the versions behind `latest`; returns its path."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>UniAudio report</title><style>{STYLE.read_text()}</style><main><h1>From audio to model</h1>",
        _advice(store),
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


def _advice(store: Store) -> str:
    """What a reader must know before the scores: the smallest size is trained to show the road."""
    head = store.head("checkpoint")
    if head is None or head.parameters.get("size") != "debug":
        return ""
    return (
        "<p>This model is of size <em>debug</em>: some dozens of steps a stage on minutes of audio. It shows that the road works; "
        "its answers are of no use.</p>"
    )
