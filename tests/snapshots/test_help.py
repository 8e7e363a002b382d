"""The command line says what it said: a changed `--help` is seen by whoever changes it."""

import pytest

from tests.snapshots.helps import COLUMNS, FILE, helps


def test_every_help_is_as_it_was_written_down() -> None:
    assert helps().splitlines() == FILE.read_text(encoding="utf-8").splitlines(), (
        "`--help` changed: if that is meant, `python -m tests.snapshots.helps` writes it down anew"
    )


def test_what_a_terminal_is_changes_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, helps().splitlines())) <= COLUMNS
