"""Which row a worker has in hand: so that a row that kills its workers is found by its name, dropped, and the job goes on.

A unit whose worker was lost is given out again to be done with care: before each row the worker says so to its hand, which writes
the row's id beside the staged units. A row that was in hand at the last of `MAX_DEATHS` deaths in a row is dropped as `kills_its_worker`.

    class CutsWorker:
        hand = Hand()                                      # the runner puts another in its place

        def process(self, unit):
            for row in rows:
                if not self.hand.takes(row.clip_id):
                    dropped.append(self.hand.dropped(row.clip_id, unit))
                    continue
                …
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store import Dropped

KILLS = "kills_its_worker"
MAX_DEATHS = 3
"""Workers that a row may kill, or a unit of a worker that cannot say which row it has in hand."""
MAX_DEATHS_OF_A_UNIT = 2 * MAX_DEATHS
"""Workers that a unit may lose in succession, whatever was in hand."""
MAX_NODES = 10
"""Machines that may be lost with a unit on them: that is rarely the unit's fault, but a unit can exhaust a machine."""


def _leave_no_mark(row_id: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Hand:
    """What a worker of one unit asks before each row. This one takes every row and writes nothing."""

    careful: bool = False
    """Whether a worker before this one was lost: then rows are worked on one by one, each after `takes`."""
    refused: frozenset[str] = frozenset()
    """Ids of rows that kill their workers."""
    mark: Callable[[str], None] = _leave_no_mark

    def takes(self, row_id: str) -> bool:
        """Call it before a row is worked on. False: drop it."""
        if row_id in self.refused:
            return False
        if self.careful:
            self.mark(row_id)
        return True

    def dropped(self, row_id: str, unit: str) -> Dropped:
        """The report of a row that was not taken."""
        return Dropped(
            row_id=row_id, reason=KILLS, detail=f"{MAX_DEATHS} workers ended while it was in hand", unit=unit
        )


@dataclass(slots=True)
class _History:
    """Losses of one unit."""

    deaths: list[str | None] = field(default_factory=list)
    """For each worker lost in succession: the row in hand, "" where none was, None where nobody was careful."""
    num_nodes: int = 0
    careful: bool = False
    refused: frozenset[str] = frozenset()


class Losses:
    """Workers lost, by unit, and what follows from it. `marked(unit)` is the row that was in hand last, or ""."""

    def __init__(self, marked: Callable[[str], str]) -> None:
        self._marked = marked
        self._units: dict[str, _History] = {}

    def terms(self, unit: str) -> tuple[bool, frozenset[str]]:
        """Terms on which the unit is worked on: `Hand.careful`, `Hand.refused`."""
        history = self._units.get(unit, _History())
        return history.careful, history.refused

    def lost(self, unit: str, error: Exception, *, with_node: bool) -> str:
        """Count the loss of the unit's worker. Returns what is done about it; StoreError where the unit is given up."""
        history = self._units.setdefault(unit, _History())
        if with_node:
            history.num_nodes += 1
            if history.num_nodes >= MAX_NODES:
                raise StoreError(
                    f"Unit {unit} was on {history.num_nodes} machines that were lost, last: {error}"
                ) from error
            return "trying again"
        row = self._marked(unit) if history.careful else None
        history.deaths.append(row)
        history.careful = True
        last = history.deaths[-MAX_DEATHS:]
        if row and len(last) == MAX_DEATHS and set(last) <= {None, row}:
            history.refused |= {row}
            history.deaths.clear()
            return f"{row} was in hand of {MAX_DEATHS} lost workers and is dropped as {KILLS}; trying again"
        if (len(last) == MAX_DEATHS and not any(last)) or len(history.deaths) >= MAX_DEATHS_OF_A_UNIT:
            raise StoreError(f"Unit {unit} ended its worker {len(history.deaths)} times, last: {error}") from error
        return "trying again, row by row"
