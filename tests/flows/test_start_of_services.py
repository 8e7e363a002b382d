"""What `uniaudio up` does where Ray takes too long to start. The real services: `test_services.py`."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from uniaudio_flows import services
from uniaudio_flows.settings import Settings, load_settings
from uniaudio_schemas.errors import UsageError

GAVE_UP = "Exception: The current node timed out during startup.\n"


class Head:
    """Whose starts end in these last lines; "" is one that answers."""

    def __init__(self, settings: Settings, *lines: str) -> None:
        self._log, self._lines, self.num_started = settings.services / "ray.log", list(lines), 1
        self._log.parent.mkdir(parents=True)
        self._log.write_text("lines of yesterday\n")

    def start(self, settings: Settings) -> None:
        self.num_started += 1

    def answer(self, name: str, url: str, settings: Settings) -> None:
        line = self._lines.pop(0)
        with self._log.open("a") as log:
            log.write(line)
        if line:
            raise UsageError("ray did not start")


@pytest.mark.parametrize(
    ("lines", "num_started"),
    [(("",), 1), ((GAVE_UP, ""), 2), ((GAVE_UP, "no memory\n"), 2), ((GAVE_UP,) * 7, 6), (("no memory\n",), 1)],
)
def test_a_head_that_ray_gave_up_is_started_again_and_another_failure_is_told(
    lines: tuple[str, ...], num_started: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(load_settings(), data=tmp_path)
    head = Head(settings, *lines)
    monkeypatch.setattr(services, "_start_ray", head.start)
    monkeypatch.setattr(services, "_await", head.answer)
    if "" in lines:
        services._await_ray(settings)
    else:
        with pytest.raises(UsageError, match="did not start"):
            services._await_ray(settings)
    assert head.num_started == num_started


def test_settings_that_differ_from_those_of_the_running_worker_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in services.OF_A_RUN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAUDIO_SIZE", "starter")
    monkeypatch.setenv("UNIAUDIO_SOURCE", "/audio")
    settings = load_settings()
    worker = Mock(process=Mock(environ=lambda: {"UNIAUDIO_SOURCE": "/audio", "UNIAUDIO_CODEC": "/codec"}))
    monkeypatch.setattr(services, "running_services", lambda _: {services.WORKER: worker})
    size, codec = services.other_settings(settings)
    assert "UNIAUDIO_SIZE=(none), not starter" in size and "`--param size=…`" in size
    assert "UNIAUDIO_CODEC=/codec, not (none)" in codec and "`--param start=…`" in codec
    monkeypatch.setattr(services, "running_services", lambda _: {})
    assert services.other_settings(settings) == []
