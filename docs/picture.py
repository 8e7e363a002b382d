"""Draws `docs/flow.svg`: every dataset kind, the flow that makes it and what one row is, read from the edges and not from memory.

    python docs/picture.py            writes docs/flow.svg
    python docs/picture.py --check    exit code 1 where the file is not what the code says

Nodes are what the packages `<reads>_to_<writes>` of `uniaudio_pipelines` read and write; further parents are those of the flows' steps.
Source text is read and nothing is imported, so that this takes a moment and needs no environment.
"""

import ast
import inspect
import re
import sys
import textwrap
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FILE = Path(__file__).with_name("flow.svg")
BOX_WIDTH, BOX_HEIGHT, ROW_HEIGHT, COLUMN_WIDTH, MARGIN = 400, 66, 96, 440, 20
LINE_CHARACTERS = 62
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2430; }
  .kind { font-weight: 600; font-size: 16px; }
  .flow { font: 12px ui-monospace, monospace; fill: #3949ab; }
  .box { fill: #f5f6fb; stroke: #8c93b8; }
  .edge { fill: none; stroke: #8c93b8; stroke-width: 1.5; }
  .tip { fill: #8c93b8; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e8f0; }
    .flow { fill: #9fa8da; }
    .box { fill: #23283a; }
  }
"""


class Place(NamedTuple):
    x: int
    y: int


@cache
def writes_of(edge: str) -> str:
    """The kind that an edge writes: what its job says, where that is not the end of its name; a service has no job."""
    named, path = edge.split("_to_")[1], ROOT / f"pipelines/uniaudio_pipelines/{edge}/job.py"
    said = re.findall(r'WRITES: ClassVar\[str\] = "(\w+)"', path.read_text(encoding="utf-8")) if path.is_file() else []
    return named if named in said or not said else str(said[-1])


class Step(NamedTuple):
    """The declaration `STEP = Step(…)` of a flow's module."""

    flow: str
    edge: str
    after: tuple[str, ...]
    """Modules of the steps before it."""

    @property
    def kind(self) -> str:
        """What it makes."""
        return writes_of(self.edge)


@cache
def steps() -> dict[str, Step]:
    """Module -> the step that it declares, of all flows."""
    found = {}
    for path in sorted((ROOT / "flows/uniaudio_flows").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "STEP"
                and isinstance(node.value, ast.Call)
            ):
                fields = {each.arg: ast.unparse(each.value) for each in node.value.keywords}
                edge = re.search(rf"from uniaudio_pipelines\.(\w+)\.job import .*\b{fields['job_class']}\b", text)
                assert edge, f"{path}: where does {fields['job_class']} come from?"
                after = tuple(re.findall(r"(\w+)\.STEP", fields.get("after", "")))
                found[path.stem] = Step(ast.literal_eval(fields["flow"]), edge[1], after)
    return found


@cache
def edges() -> tuple[tuple[str, str], ...]:
    """(reads, writes) of every edge, by the names of the packages and by what their steps read besides."""
    names = [path.parent.name for path in sorted((ROOT / "pipelines/uniaudio_pipelines").glob("*_to_*/__init__.py"))]
    found = [(name.split("_to_")[0], writes_of(name)) for name in names]
    found += [(steps()[before].kind, step.kind) for step in steps().values() for before in step.after]
    return tuple(dict.fromkeys((reads, writes) for reads, writes in found))


def says(kind: str) -> str:
    """What one row of a kind is, in the words of its module; of what is no kind, in those of its edge."""
    if kind == "source":
        return "a folder of audio and text files"
    path = ROOT / f"schemas/uniaudio_schemas/kinds/{kind}.py"
    if not path.is_file():
        (edge,) = [f"{reads}_to_{writes}" for reads, writes in edges() if writes == kind]
        path = ROOT / f"pipelines/uniaudio_pipelines/{edge}/__init__.py"
    text = inspect.cleandoc(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    return text.partition("\n\n")[0].replace("\n", " ").removeprefix(f"`{kind}`: ").rstrip(".")


def places(lines: tuple[tuple[str, str], ...]) -> dict[str, Place]:
    """A row for each step on the longest way from the source; of one row, what leads farther stands to the left."""
    kinds = list(dict.fromkeys(kind for line in lines for kind in line))
    depth = {kind: 0 for kind in kinds}
    for _ in kinds:
        for reads, writes in lines:
            depth[writes] = max(depth[writes], depth[reads] + 1)
    reach = {kind: 0 for kind in kinds}
    for kind in sorted(kinds, key=lambda kind: -depth[kind]):
        reach[kind] = max((1 + reach[writes] for reads, writes in lines if reads == kind), default=0)
    rows: dict[int, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: (-reach[kind], kind)):
        rows.setdefault(depth[kind], []).append(kind)
    return {
        kind: Place(MARGIN + column * COLUMN_WIDTH, MARGIN + row * ROW_HEIGHT)
        for row, found in rows.items()
        for column, kind in enumerate(found)
    }


def draw() -> str:
    """The picture as SVG, the same on every machine."""
    lines, flows = edges(), {step.kind: step for step in steps().values()}
    placed = places(lines)
    width = max(place.x for place in placed.values()) + BOX_WIDTH + MARGIN
    height = max(place.y for place in placed.values()) + BOX_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>From a source to a served model: {escape(', '.join(placed))}</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    parts += [_line(placed[reads], placed[writes]) for reads, writes in lines]
    parts += [_box(kind, place, flows.get(kind)) for kind, place in placed.items()]
    return "\n".join([*parts, "</svg>", ""])


def _line(start: Place, end: Place) -> str:
    """From the lower edge of one box to the upper edge of another, straight where they stand above each other."""
    x1, x2 = (start.x + BOX_WIDTH // 2, end.x + BOX_WIDTH // 2)
    y1, y2 = start.y + BOX_HEIGHT, end.y
    middle = y2 - (ROW_HEIGHT - BOX_HEIGHT) // 2
    down = f"M{x1} {y1} V{y2}" if x1 == x2 else f"M{x1} {y1} V{middle} H{x2} V{y2}"
    return f'<path class="edge" d="{down}" marker-end="url(#tip)"/>'


def _box(kind: str, place: Place, step: Step | None) -> str:
    words = textwrap.wrap(says(kind), LINE_CHARACTERS, max_lines=2, placeholder=" …")
    flow = ""
    if step is not None:
        x = place.x + BOX_WIDTH - 12
        flow = f'<text class="flow" text-anchor="end" x="{x}" y="{place.y + 22}">{step.flow}</text>'
    return "".join(
        [
            f'<rect class="box" x="{place.x}" y="{place.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>',
            f'<text class="kind" x="{place.x + 12}" y="{place.y + 22}">{kind}</text>',
            flow,
            *(
                f'<text x="{place.x + 12}" y="{place.y + 41 + 16 * index}">{escape(line)}</text>'
                for index, line in enumerate(words)
            ),
        ]
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(FILE.read_text(encoding="utf-8") != draw())
    FILE.write_text(draw(), encoding="utf-8")
