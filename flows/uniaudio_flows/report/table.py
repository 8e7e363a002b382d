"""Rows as the page shows them: `templates/macros.html` makes an HTML table of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    header: tuple[str, ...]
    rows: list[tuple[object, ...]]


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    return Table(caption, tuple(header), [tuple(row) for row in rows])


def cell(value: object) -> str:
    """A value as text: numbers with four digits or with their thousands apart, lists with commas, a dash for nothing."""
    if isinstance(value, np.generic):
        return cell(value.item())
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(one) for one in value)
    return str(value)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
