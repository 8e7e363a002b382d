"""Start and stop the local services: a Prefect server (SQLite), a process worker, and a Ray head with its dashboard, all on loopback,
with keys that no other user of the machine has (`access.py`).

With `UNIAUDIO_RAY_HOST=ADDRESS` the Ray head has that address of this machine and takes further nodes that have its token:
`ray start --address=ADDRESS:6380` on each, which must see the same store, source and models.

Each process is recorded with its pid and its start time, so that `stop_services` ends exactly those that `start_services` started:
never `ray stop`, which would end every Ray process of the machine.
"""

import contextlib
import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.pulse import pulse
from uniaudio_schemas.store.cache import private_folder

from uniaudio_flows.access import Access, make_data_folder
from uniaudio_flows.orphans import mark_orphans
from uniaudio_flows.settings import LOOPBACK, Settings, service_environment

START_TIMEOUT_S = 600
RAY_ATTEMPTS, GAVE_UP = 6, b"timed out during startup"
STOP_TIMEOUT_S = 15
WORKER_STOP_TIMEOUT_S = 4
POOL = "local"
WORKER = "prefect-worker"
DEPLOYMENTS = Path(__file__).resolve().with_name("prefect.yaml")
OF_A_RUN = tuple(f"UNIAUDIO_{name}" for name in ("STORE", "SOURCE", "MODELS", "SIZE", "DEVICE", "CODEC", "BACKBONE"))
TOLD_AS = {"codec": "start", "backbone": "start"}
"""Settings of a run whose parameter has another name."""
# Half a gigabyte holds far more than one shard in flight; Ray's default is a third of the machine's memory.
OBJECT_STORE_BYTES = 512 * 1024**2


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    name: str
    pid: int
    started: float
    """The kernel's start time of the process: a reused pid is not ours."""

    @property
    def process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            is_ours = abs(process.create_time() - self.started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if is_ours else None


def start_services(settings: Settings, log: Callable[[str], None]) -> None:
    """Bring up what is not running and deploy the flows. UsageError where a port is taken by somebody else or a service does not answer."""
    begin = time.monotonic()
    log(f"services of {settings.data}: looking what runs")
    access = Access(folder=settings.services)
    if make_data_folder(settings.data):
        log(f"  other users of this machine can read {settings.data}: `chmod 700 {settings.data}` keeps them out")
    access.make()
    with (settings.services / "lock").open("a") as lock:
        # A second `up` waits, and finds everything running.
        with pulse(log, "another `uniaudio up` is at work: waiting for it"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        _start_what_is_not_running(settings, log)
    log(f"services are up ({time.monotonic() - begin:.0f} s)")
    log(f"  Prefect        {settings.prefect_url}   its page asks for the line in {access.prefect_key}")
    if not access.tell_prefect(settings.prefect_url):
        log(
            f"  for `prefect`  export PREFECT_API_URL={settings.prefect_url}/api PREFECT_API_AUTH_STRING=$(cat {access.prefect_key})"
        )
    if settings.ray_address:
        log(f"  Ray dashboard  {settings.dashboard_url}")
    else:
        log(f"  Ray dashboard  {settings.dashboard_url}   its page asks for the line in {access.ray_token}")
    if settings.ray_host != LOOPBACK:
        log(f"  another node   ray start --address={settings.ray_host}:{settings.ray_port}")
        log(f"                 with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, a copy of {_token_path(settings)}")
    for line in other_settings(settings):
        log(f"  {line}")


def other_settings(settings: Settings) -> list[str]:
    """Lines on settings of this process that differ from those that the running worker was started with: a run that `prefect` starts has
    the worker's."""
    service = running_services(settings).get(WORKER)
    worker = service.process if service else None
    if worker is None:
        return []
    before, now = worker.environ(), service_environment(settings)
    lines = []
    for name in OF_A_RUN:
        if (was := before.get(name, "")) != (is_now := now.get(name, "")):
            parameter = name.removeprefix("UNIAUDIO_").lower()
            lines.append(
                f"the services run with {name}={was or '(none)'}, not {is_now or '(none)'}: `uniaudio down` and `up` change that, and so does "
                f"`--param {TOLD_AS.get(parameter, parameter)}=…` for one run; `uniaudio make` and `uniaudio demo` tell their runs what is set here"
            )
    return lines


def _start_what_is_not_running(settings: Settings, log: Callable[[str], None]) -> None:
    running = running_services(settings)
    if "ray" not in running and not settings.ray_address:
        _require_free(settings.ray_port, "UNIAUDIO_RAY_PORT")
        _require_free(settings.dashboard_port, "UNIAUDIO_DASHBOARD_PORT")
        log("  starting the Ray head")
        _start_ray(settings)
    if "prefect-server" not in running:
        _require_free(settings.prefect_port, "UNIAUDIO_PREFECT_PORT")
        log("  starting the Prefect server")
        _start(
            "prefect-server",
            [*_prefect(), "server", "start", "--host", LOOPBACK, "--port", str(settings.prefect_port)],
            settings,
        )
    with pulse(log, "  waiting for the Prefect server"):
        _await("prefect-server", f"{settings.prefect_url}/api/health", settings)
    if WORKER not in running or "prefect-server" not in running:
        log("  deploying the flows")
        with pulse(log, "  deploying the flows"):
            _deploy(settings)
    if WORKER not in running:
        mark_orphans(f"{settings.prefect_url}/api", Access(folder=settings.services).headers())
        worker = [*_prefect(), "worker", "start", "--pool", POOL, "--type", "process", "--name", "local-worker"]
        _start(WORKER, worker, settings)
    if not settings.ray_address:
        with pulse(log, "  waiting for the Ray head"):
            _await_ray(settings)


def stop_services(settings: Settings, log: Callable[[str], None]) -> None:
    """End the recorded processes and their children: politely, then after 15 s (the worker's after 4 s) by SIGKILL."""
    running = running_services(settings)
    if not running:
        log("no services of this folder are running")
    # The worker says goodbye to the server; without one it would ask again and again. After a long session it sometimes
    # never finishes, and it has nothing to lose.
    _end([service for name, service in running.items() if name == WORKER], WORKER_STOP_TIMEOUT_S)
    _end([service for name, service in running.items() if name != WORKER], STOP_TIMEOUT_S)
    for name in running:
        _record(settings, name).unlink(missing_ok=True)
        log(f"stopped {name}")
    Access(folder=settings.services).forget_prefect()
    shutil.rmtree(settings.ray_folder, ignore_errors=True)


def _end(services: list[Service], timeout_s: float) -> None:
    family = [process for service in services for process in _family(service)]
    for service in services:
        # It may end by itself at any moment.
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(service.pid).send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=timeout_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)


def running_services(settings: Settings) -> dict[str, Service]:
    """Name -> the recorded services that are alive."""
    services = {}
    for record in sorted(settings.services.glob("*.json")):
        service = from_json(Service, record.read_bytes(), str(record))
        if service.process is not None:
            services[service.name] = service
    return services


def _family(service: Service) -> list[psutil.Process]:
    process = service.process
    return [] if process is None else [process, *process.children(recursive=True)]


def _start(name: str, command: list[str], settings: Settings, environment: dict[str, str] | None = None) -> None:
    with (settings.services / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=settings.services,
            env={**service_environment(settings), **(environment or {})},
            start_new_session=True,
        )
    service = Service(name=name, pid=process.pid, started=psutil.Process(process.pid).create_time())
    record = _record(settings, name)
    unfinished = record.with_suffix(".part")
    unfinished.write_text(json.dumps(asdict(service)))
    unfinished.replace(record)


def _token_path(settings: Settings) -> str:
    """UsageError where the head would be open to others without a token."""
    environment = service_environment(settings)
    if settings.ray_host != LOOPBACK and environment["RAY_AUTH_MODE"] != "token":
        raise UsageError(
            f"`UNIAUDIO_RAY_HOST` opens the Ray head at {settings.ray_host} to others: `RAY_AUTH_MODE` must be token, or not be set, "
            f"but is {environment['RAY_AUTH_MODE']}."
        )
    return environment.get("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN")


def _ray_environment(settings: Settings) -> dict[str, str]:
    """A head of several nodes may not be told that there is only this one: then it takes no other, and listens on loopback alone."""
    return {} if settings.ray_host == LOOPBACK else {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}


def _ray_command(settings: Settings) -> list[str]:
    _token_path(settings)
    private_folder(settings.ray_folder)
    return [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        f"--node-ip-address={settings.ray_host}",
        f"--port={settings.ray_port}",
        f"--dashboard-agent-listen-port={_free_port()}",
        f"--metrics-export-port={_free_port()}",
        f"--dashboard-host={LOOPBACK}",
        f"--dashboard-port={settings.dashboard_port}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={settings.ray_folder / 'r'}",
        "--disable-usage-stats",
    ]


def _prefect() -> list[str]:
    return [str(Path(sys.executable).with_name("prefect"))]


def _deploy(settings: Settings) -> None:
    command = [*_prefect(), "--no-prompt", "deploy", "--name", POOL, "--prefect-file", str(DEPLOYMENTS)]
    environment = service_environment(settings)
    create = [*_prefect(), "work-pool", "create", POOL, "--type", "process", "--overwrite"]
    for step in (create, command):
        done = subprocess.run(
            step, cwd=DEPLOYMENTS.parents[1], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UsageError(f"the flows could not be deployed: {_last_line(done.stdout + done.stderr)}")


def _start_ray(settings: Settings) -> None:
    _start("ray", _ray_command(settings), settings, _ray_environment(settings))


def _await_ray(settings: Settings) -> None:
    """Ray gives its own processes 30 s to start, which a busy machine exceeds: then it is started again."""
    log, num_read = settings.services / "ray.log", 0
    for attempt in range(1, RAY_ATTEMPTS + 1):
        try:
            _await("ray", f"{settings.dashboard_url}/api/version", settings)
            return
        except UsageError:
            output = log.read_bytes()[num_read:]
            if attempt == RAY_ATTEMPTS or GAVE_UP not in output:
                raise
            num_read += len(output)
        _start_ray(settings)


def _await(name: str, url: str, settings: Settings) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:  # it answers: to whoever has the token
            return
        except (urllib.error.URLError, OSError):
            pass
        if name not in running_services(settings):
            log = settings.services / f"{name}.log"
            raise UsageError(f"{name} did not start: {_last_line(log.read_text(errors='replace'))} (see {log})")
        time.sleep(0.2)
    raise UsageError(
        f"{name} did not answer at {url} within {START_TIMEOUT_S} s (see {settings.services / f'{name}.log'})"
    )


def _require_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise UsageError(
                f"port {port} is in use by another program: choose a free one with `{variable}=PORT`."
            ) from error


def _free_port() -> int:
    """A port that is free now: with Ray's defaults a second head on the machine loses its agent, and takes no jobs."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _record(settings: Settings, name: str) -> Path:
    return settings.services / f"{name}.json"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote no message"
