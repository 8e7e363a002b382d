"""The page: what each section shows, gathered from the store, and written through the templates as one file that needs no network.

Everything from the store is escaped by the templates; and the page's own policy lets a browser run no script but the page's, and load
nothing from anywhere.
"""

import base64
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from uniaudio_schemas.query import scan_version
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows.report import corpora, examples, histograms, losses, model, sharing
from uniaudio_flows.report.charts import VENDOR
from uniaudio_flows.report.table import cell, is_number

_HERE = Path(__file__).parent
_SCRIPTS = (VENDOR / "vega.min.js", VENDOR / "vega-lite.min.js", _HERE / "script.js")


def write_report(store: Store, path: Path) -> Path:
    """Write the page for the versions behind `latest`; returns its path."""
    page = _templates().get_template("page.html").render(_contents(store))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(page)
    Path(name).chmod(0o644)
    Path(name).replace(path)
    return path


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell
    environment.tests["numeric"] = is_number
    return environment


def _contents(store: Store) -> dict[str, Any]:
    script = "\n".join(file.read_text(encoding="utf-8") for file in _SCRIPTS)
    annotated = store.head("annotated")
    raw = _raw_of(store, annotated)
    return {
        "style": Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_data(store, annotated, raw),
        **_model(store),
    }


def _data(store: Store, annotated: Manifest | None, raw: Manifest | None) -> dict[str, Any]:
    """What the sections on data show; without `annotated` those are empty."""
    data: dict[str, Any] = {
        "dropped": losses.dropped_by_reason(store, model.KINDS),
        "dropped_examples": losses.dropped_examples(store, model.KINDS, raw),
        "problems": losses.problems(scan_version(store, raw)) if raw else None,
        "evaluation_sets": sharing.evaluation_sets(store),
        "has_annotated": annotated is not None,
    }
    if annotated is None:
        return {**data, "examples": []}
    frame = scan_version(store, annotated)
    return {
        **data,
        "overview": corpora.overview(frame),
        "languages": corpora.languages(frame),
        "licences": corpora.licences(frame),
        "ranges": corpora.ranges(frame),
        "histograms": histograms.histograms(frame),
        "choices": histograms.choices(frame),
        "rejections": losses.rejections(frame),
        "speakers": sharing.speakers(frame),
        "largest_speakers": sharing.largest_speakers(frame),
        "shared_voices": sharing.shared_voices(frame),
        "copies": sharing.copies(frame),
        "largest_copies": sharing.largest_copies(frame),
        "leaks": sharing.leaks(store, frame),
        "examples": examples.examples(store, annotated, raw) if raw else [],
    }


def _model(store: Store) -> dict[str, Any]:
    checkpoint = store.head("checkpoint")
    note, codebooks = model.tokens(store)
    return {
        "boxes": model.boxes(store),
        "is_debug": checkpoint is not None and checkpoint.parameters.get("size") == "debug",
        "curves": model.curves(store),
        "held_out": model.held_out(store),
        "beside_chance": model.beside_chance(store),
        "figures": model.listening(store),
        "tokens_note": note,
        "codebooks": codebooks,
        "scores": model.scores(store),
        "leaderboard": model.leaderboard(store),
        "cost": model.cost(store),
    }


def _raw_of(store: Store, annotated: Manifest | None) -> Manifest | None:
    """The version of raw that `annotated` was made from, or the newest where that is gone."""
    content = annotated.parents.get("raw") if annotated else None
    candidates = [manifest for manifest in store.versions("raw") if manifest.content_id == content]
    return candidates[0] if candidates else store.head("raw")
