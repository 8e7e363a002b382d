"""Hostile files are read whole or refused in one line, in bounded memory, and never bring the process down."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.uniaudio.audio.hostile import GROUPS, Case, cases, read_case

pytest.importorskip("soundfile")
pytest.importorskip("av")

ROOT = Path(__file__).parents[3]
MAX_MIB = 1_024


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Rows of one process that read every file."""
    command = [sys.executable, "-m", "tests.uniaudio.audio.hostile", str(tmp_path_factory.mktemp("hostile"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout[-300:]}\n{done.stderr[-2_000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def wrong(case: Case, row: dict[str, Any]) -> str:
    """What of the row is not as the case says, or nothing."""
    error, num_samples = row["error"], row["num_samples"]
    if error:
        if not case.error and case.samples:
            return "must be read"
        if "\n" in error or case.name not in error:
            return "must be one line that names the file"
        return "" if case.samples or re.search(case.error, error) else f"must say {case.error!r}"
    if not case.samples:
        return "must be refused"
    if not case.samples[0] <= num_samples <= case.samples[1]:
        return f"must have {case.samples} samples"
    return f"must report {case.problem}" if case.problem and case.problem not in row["problems"] else ""


@pytest.mark.parametrize("group", GROUPS)
def test_a_broken_file_is_read_whole_or_refused_in_one_line(group: str, tmp_path: Path) -> None:
    every = list(GROUPS[group]())
    assert len(every) >= 5
    faults = {case.name: (fault, row) for case in every if (fault := wrong(case, row := read_case(case, tmp_path)))}
    assert not faults


@pytest.mark.slow
def test_every_hostile_file_is_read_whole_or_refused_in_one_line(outcome: list[dict[str, Any]]) -> None:
    rows = {row["name"]: row for row in outcome if "name" in row}
    every = list(cases())
    assert len(rows) == len(every) == len({case.name for case in every}) > 40
    faults = {case.name: (fault, rows[case.name]) for case in every if (fault := wrong(case, rows[case.name]))}
    assert not faults


@pytest.mark.slow
def test_hostile_files_take_less_than_a_gibibyte(outcome: list[dict[str, Any]]) -> None:
    assert outcome[-1]["peak_mib"] < MAX_MIB
