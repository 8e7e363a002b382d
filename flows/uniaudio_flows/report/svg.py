"""Small charts as SVG text: line curves and horizontal bars. Colors come from the page's style sheet."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 190, 52, 26, 12


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float]]


def line_chart(title: str, curves: Sequence[Curve], unit: str) -> str:
    """Curves over steps, linear axes that fit the finite points."""
    finite = [Curve(curve.name, [point for point in curve.points if math.isfinite(point[1])]) for curve in curves]
    points = [point for curve in finite for point in curve.points]
    if not points:
        return ""
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low_y, high_y = min(y for _, y in points), max(y for _, y in points)
    high_x, high_y = max(high_x, low_x + 1), max(high_y, low_y + 1e-9)

    def place(x: float, y: float) -> str:
        column = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - 10)
        row = TOP + (high_y - y) / (high_y - low_y) * (HEIGHT - BOTTOM - TOP)
        return f"{column:.1f},{row:.1f}"

    parts = [f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for fraction in (0.0, 0.5, 1.0):
        y = low_y + fraction * (high_y - low_y)
        row = float(place(low_x, y).split(",")[1])
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 10}" y1="{row}" y2="{row}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{row + 4}" text-anchor="end">{y:.3g}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">{low_x:.0f}</text>')
    parts.append(
        f'<text x="{WIDTH - 10}" y="{HEIGHT - 8}" text-anchor="end">step {high_x:.0f} · {html.escape(unit)}</text>'
    )
    for index, curve in enumerate(finite):
        line = " ".join(place(x, y) for x, y in curve.points)
        parts.append(f'<polyline class="curve c{index % 6}" points="{line}"/>')
    legend = "".join(
        f'<span class="key c{index % 6}">{html.escape(curve.name)}</span>' for index, curve in enumerate(finite)
    )
    return "".join(parts) + f'</svg><div class="legend">{legend}</div></figure>'


def bar_chart(title: str, bars: Sequence[tuple[str, float]], unit: str) -> str:
    """One horizontal bar a row, longest first as given."""
    if not bars:
        return ""
    largest = max(value for _, value in bars) or 1.0
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="bar"><span style="width:{100 * value / largest:.1f}%"></span></td>'
        f"<td class=number>{value:.4g} {html.escape(unit)}</td></tr>"
        for name, value in bars
    )
    return f"<figure><figcaption>{html.escape(title)}</figcaption><table class=bars>{rows}</table></figure>"
