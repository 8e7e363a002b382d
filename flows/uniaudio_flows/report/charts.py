"""Charts as Vega-Lite specifications. The page holds Vega itself, so that it needs no network; a chart takes its colours from the page's
style sheet and its width from its place.

Vega and Vega-Lite lie in `vendor` (0.77 MB, as their npm packages ship them): plotly's bundle is 4.8 MB in every page, the wheel `vega` brings
pandas and Jupyter, and the wheel that translates Vega-Lite in Python is 33 MB of a JavaScript engine.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).with_name("vendor")
PALETTE = ("#1f8fb3", "#d1672b", "#4c9a4a", "#9a5bb5", "#b8952a", "#c04a6b")
"""Colours with a contrast of 3 to 1 at least on white and on the dark paper."""
COLOR: dict[str, Any] = {"scale": {"range": PALETTE}, "legend": {"orient": "bottom", "title": None, "columns": 4}}
_AXIS = {
    "labelColor": "var(--soft)", "titleColor": "var(--soft)", "domainColor": "var(--line)", "tickColor": "var(--line)",
    "gridColor": "var(--line)", "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    note: str
    words: str
    """What is seen, for those who do not see it."""
    specification: dict[str, Any]


def chart(title: str, note: str, words: str, specification: dict[str, Any]) -> Chart:
    """A chart that fits its place."""
    frame = {
        "width": "container",
        "height": 170,
        "background": None,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": {
            "view": {"stroke": None},
            "axis": _AXIS,
            "legend": {"labelColor": "var(--soft)", "labelFontSize": 12, "labelLimit": 260},
            "font": "system-ui, sans-serif",
        },
    }
    return Chart(title, note, words, {**frame, **specification})


def line_chart(title: str, points: list[dict[str, Any]], x_title: str, y_title: str) -> Chart:
    """Curves of `{"name": "loss", "x": 10, "y": 2.31}`."""
    names = sorted({point["name"] for point in points})
    specification = {
        "data": {"values": points},
        "mark": {"type": "line", "point": {"size": 12}, "strokeWidth": 1.8},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": x_title, "scale": {"nice": False}},
            "y": {"field": "y", "type": "quantitative", "title": y_title, "scale": {"zero": False}},
            # One name a line: names of losses are long.
            "color": {"field": "name", "type": "nominal", **COLOR, "legend": {**COLOR["legend"], "columns": 1}},
            "tooltip": [
                {"field": "name"},
                {"field": "x", "title": x_title},
                {"field": "y", "title": y_title, "format": ".4g"},
            ],
        },
    }
    words = f"{y_title} over {x_title} of {', '.join(names)}."
    return chart(title, "", words, specification)
