"""A sign of life where nothing else is said."""

import io
import threading
import time
from collections.abc import Callable

from uniaudio_schemas.durations import spoken
from uniaudio_schemas.pulse import Lines, pulse


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(written: str) -> list[str]:
    """What a terminal shows of what was written: in each row the last that was not erased."""
    return [row.rpartition("\r\x1b[K")[2] for row in written.split("\n")]


def wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_silent_work_speaks_and_ended_work_does_not() -> None:
    said: list[str] = []
    spoke = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        spoke.set()

    with pulse(say, "waiting", every_s=0.01):
        assert spoke.wait(30)
    num_said = len(said)
    assert said[0].startswith("waiting (0 s)")
    assert not [thread for thread in threading.enumerate() if thread.name == "pulse"]
    assert len(said) == num_said


def test_work_that_speaks_itself_is_left_to_it() -> None:
    said: list[str] = []
    with pulse(said.append, "waiting", every_s=3600.0) as pulsing:
        before = pulsing.since
        pulsing.beat()
        assert pulsing.since >= before
    assert said == []


def test_signs_of_life_come_as_often_after_an_hour() -> None:
    said: list[str] = []
    with pulse(said.append, "waiting", every_s=0.01) as pulsing:
        pulsing.since -= 3600
        wait_for(lambda: len(said) >= 5)
    assert said[-1].startswith("waiting (360")


def test_on_a_terminal_a_sign_stands_until_something_else_does() -> None:
    terminal = Terminal()
    say = Lines(terminal, "me: ")
    say("begins")
    with pulse(say, "waiting", every_s=0.01):
        wait_for(lambda: terminal.getvalue().count("waiting") >= 2)
        assert shown(terminal.getvalue()) == ["me: begins", "me: waiting (0 s)\r"]
        say("half")
        wait_for(lambda: terminal.getvalue().count("waiting") >= 4)
    assert shown(terminal.getvalue()) == ["me: begins", "me: half", ""]


def test_where_no_terminal_is_signs_are_lines() -> None:
    file = io.StringIO()
    say = Lines(file)
    with pulse(say, "waiting", every_s=0.01):
        wait_for(lambda: file.getvalue().count("waiting") >= 2)
    assert set(file.getvalue().splitlines()) == {"waiting (0 s)"}


def test_durations_are_said_in_the_unit_a_reader_thinks_in() -> None:
    assert [spoken(seconds) for seconds in (0, 0.42, 59.94, 59.96, 252, 3599, 3_722_400)] == [
        "0.0 s", "0.4 s", "59.9 s", "1.0 min", "4.2 min", "1.0 h", "1,034.0 h",
    ]  # fmt: skip
