"""Results of a listening test, of our page or of webMUSHRA: a mean and a 95 % interval for each system.

Reads    CSV with webMUSHRA's columns, any number of files; `key.json` of the test
             mushra    session_uuid, trial_id, rating_stimulus, rating_score        (C1, C2, … or reference, anchor35, anchor70)
             A/B       session_uuid, trial_id, choice_answer                        (C1 or C2)
Gives    {"system": "stage4", "mean": 61.2, "low": 55.0, "high": 67.9, "ratings": 48, "listeners": 4}

As BS.1534 asks, a listener who rates the hidden reference below 90 in more than 15 % of the pages is left out, and named. Ratings of one
listener are not independent: intervals are over listeners, or over pages where there is one listener.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.metrics.bootstrap import bootstrap_interval
from uniaudio_flows.listening.design import REFERENCE

_LEAST_REFERENCE, _MOST_MISSED = 90.0, 0.15


@dataclass(frozen=True, slots=True)
class Rating:
    listener: str
    page: str
    system: str
    value: float


def read_results(folder: Path, paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows by system, best first, and who was left out. `folder`: of the test. DataError where a file is none of its results."""
    key = json.loads((folder / "key.json").read_text())
    config = json.loads((folder / "config.yaml").read_text())
    stimuli = {trial["id"]: trial["stimuli"] for trial in config["pages"][0][1:]}
    ratings = [one for path in paths for one in _ratings(path, stimuli, key)]
    left_out = _unreliable(ratings)
    reliable = [one for one in ratings if one.listener not in left_out]
    if not reliable:
        raise UsageError(f"`results` must hold a reliable listener, but {', '.join(left_out) or 'nobody'} rated.")
    by_system: dict[str, list[Rating]] = defaultdict(list)
    for one in reliable:
        by_system[one.system].append(one)
    rows = [_row(system, ratings_of_system) for system, ratings_of_system in by_system.items()]
    return sorted(rows, key=lambda row: (-row["mean"], row["system"])), left_out


def _ratings(path: Path, stimuli: dict[str, dict[str, str]], key: dict[str, str]) -> list[Rating]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    ratings = []
    for number, line in enumerate(lines, start=2):
        try:
            listener, page = line["session_uuid"], line["trial_id"]
            names = {name: key[sound] for name, sound in stimuli[page].items()}
            if "rating_stimulus" in line:
                name = line["rating_stimulus"]
                ratings.append(Rating(listener, page, names.get(name, name), float(line["rating_score"])))
            else:
                preferred = names[line["choice_answer"]]
                ratings += [Rating(listener, page, system, 100.0 * (system == preferred)) for system in names.values()]
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}: line {number} must be a result of this test, but is none ({error}).") from error
    return ratings


def _unreliable(ratings: Sequence[Rating]) -> list[str]:
    misses: dict[str, list[bool]] = defaultdict(list)
    for one in ratings:
        if one.system == REFERENCE:
            misses[one.listener].append(one.value < _LEAST_REFERENCE)
    return sorted(listener for listener, missed in misses.items() if sum(missed) / len(missed) > _MOST_MISSED)


def _row(system: str, ratings: Sequence[Rating]) -> dict[str, Any]:
    values = [one.value for one in ratings]
    listeners = [one.listener for one in ratings]
    groups = listeners if len(set(listeners)) > 1 else [one.page for one in ratings]
    low, high = bootstrap_interval(values, groups=groups) or (None, None)
    counts = {"ratings": len(values), "listeners": len(set(listeners))}
    return {"system": system, "mean": sum(values) / len(values), "low": low, "high": high, **counts}
