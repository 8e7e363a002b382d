"""Who sits at a terminal sees at once that a command works; a file has results and errors alone."""

import sys

import pytest

from uniaudio.run.working import working


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_is_told_before_the_work_begins(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with working("reading the model m"):
        assert capsys.readouterr().err == ("uniaudio: reading the model m\n" if is_terminal else "")
