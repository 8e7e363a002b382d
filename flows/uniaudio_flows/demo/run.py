"""`make demo`: corpus, services, the flow `everything`, the report. Each step is skipped where it is done already."""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.pulse import Lines, pulse
from uniaudio_schemas.settings_file import setting

from uniaudio_flows.access import make_data_folder
from uniaudio_flows.demo.corpus import lay_out_demo
from uniaudio_flows.demo.packages import cache_folder
from uniaudio_flows.deployments import run_deployment
from uniaudio_flows.services import start_services, stop_services
from uniaudio_flows.settings import Settings


def run_demo(settings: Settings, *, stop: bool, source: str = "") -> int:
    """`source`: a folder of the user's own audio; empty: `UNIAUDIO_SOURCE`, and without that the demo's corpus. Returns the exit code: 0, or 1
    where the flow did not complete."""
    make_data_folder(settings.data)
    with only_one(settings.data / "demo.lock", "make demo"):
        begin, say = time.monotonic(), Lines(sys.stdout)
        settings = settings.of_run({"source": source})
        _prepare(settings, say, has_own_source=bool(source or setting("UNIAUDIO_SOURCE")))
        start_services(settings, say)
        try:
            completed = run_deployment("everything/local", settings, say)
            if completed:
                _report(settings, say)
        except KeyboardInterrupt:
            if not stop:
                say("the run goes on in the background: `uniaudio demo` follows it, `uniaudio down` stops it")
            raise
        finally:
            if stop:
                stop_services(settings, say)
        say(f"{'done' if completed else 'not done'} after {time.monotonic() - begin:.0f} s")
        if not stop:
            say(
                f"  Prefect        {settings.prefect_url}\n  Ray dashboard  {settings.dashboard_url}\n  report         {settings.data / 'report.html'}"
            )
            say("  talk to it     `uniaudio serve`, then http://127.0.0.1:8000")
            say("  stop the services with `uniaudio down`")
        return 0 if completed else 1


def _prepare(settings: Settings, say: Lines, *, has_own_source: bool) -> None:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    if has_own_source:
        if not settings.source.is_dir():
            raise UsageError(
                f"`--source` (or `UNIAUDIO_SOURCE`) must be a folder of audio, but {settings.source} is not a folder."
            )
        say(f"corpus: {settings.source}")
    else:
        with pulse(say, "corpus: fetching packages"):
            lay_out_demo(settings.source, cache, say)


def _report(settings: Settings, say: Lines) -> None:
    from uniaudio_schemas.store import Store

    from uniaudio_flows.report import write_report
    from uniaudio_flows.report.model import beside_chance

    store = Store.from_uri(settings.store)
    with pulse(say, "writing the report"):
        write_report(store, settings.data / "report.html")
    if judgement := beside_chance(store):
        say(judgement)


@contextmanager
def only_one(lock: Path, command: str) -> Iterator[None]:
    """Two of a kind in one data folder would start the same services twice."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"another `{command}` is at work in {lock.parent}: wait for it, or give this one a folder (UNIAUDIO_DATA) and ports of its own."
            ) from error
        yield
