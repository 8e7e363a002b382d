"""Who sits at a terminal sees at once that a command works; a file has a line where the work lasts, and nothing with `-q`."""

import logging
import sys
import time

import pytest
from uniaudio_schemas.pulse import pulse

from uniaudio.run import working as signs
from uniaudio.run.working import working


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_is_told_before_the_work_begins(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with working("reading the model m"):
        assert capsys.readouterr().err == ("uniaudio: reading the model m\n" if is_terminal else "")


@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_file_is_told_of_work_that_lasts(
    is_quiet: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "pulse", lambda say, what: pulse(say, what, every_s=0.01))
    logger = logging.getLogger("uniaudio")
    monkeypatch.setattr(logger, "level", logging.ERROR if is_quiet else logging.WARNING)
    logger.manager._clear_cache()
    try:
        with working("reading the model m"):
            time.sleep(0.2)
    finally:
        logger.manager._clear_cache()
    lines = set(capsys.readouterr().err.splitlines())
    assert lines == (set() if is_quiet else {"uniaudio: reading the model m (0 s)"})
