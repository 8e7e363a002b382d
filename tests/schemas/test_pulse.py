"""A sign of life where nothing else is said."""

import threading

from uniaudio_schemas.durations import spoken
from uniaudio_schemas.pulse import pulse


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


def test_durations_are_said_in_the_unit_a_reader_thinks_in() -> None:
    assert [spoken(seconds) for seconds in (0, 0.42, 59.94, 59.96, 252, 3599, 3_722_400)] == [
        "0.0 s", "0.4 s", "59.9 s", "1.0 min", "4.2 min", "1.0 h", "1,034.0 h",
    ]  # fmt: skip
