"""Where data and services are: read from the environment or from `uniaudio.toml` (see `uniaudio_schemas/settings_file.py`; the environment
wins), with one folder `data/` as the default for everything.

UNIAUDIO_DATA     parent of the four below (default `./data`); `s3://bucket/prefix` (gs, az) holds the store alone, the rest is in `./data`
UNIAUDIO_STORE    the dataset store
UNIAUDIO_CACHE    copies of what lies in an object store (default `~/.cache/uniaudio`), at most UNIAUDIO_CACHE_BYTES of them (50 GiB)
UNIAUDIO_SOURCE   a folder of audio and text
UNIAUDIO_MODELS   annotators' models
UNIAUDIO_EVALSETS   cards of evaluation sets of one's own, one `NAME.toml` each (default `evalsets` below UNIAUDIO_DATA)
UNIAUDIO_SIZE     preset of codec and model, where a run does not say: `debug` (default), `starter`, `paper_1b`, `paper_3b`
UNIAUDIO_DEVICE   where models run: `cpu` (default) or `cuda`, one GPU a worker
UNIAUDIO_CODEC    folder of a codec that is taken as it is, where a run of `train-codec` does not say otherwise; without one, one
                  is trained
UNIAUDIO_BACKBONE   folder of a LlamaForCausalLM with its tokenizer.json that training starts from, where `start` of a run does not
                  say otherwise; without one, text is bytes and a backbone of our own is warmed up
UNIAUDIO_PREFECT_PORT, UNIAUDIO_RAY_PORT, UNIAUDIO_DASHBOARD_PORT   of the services that `uniaudio up` starts
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.settings_file import VARIABLE, setting, settings_path

from uniaudio_flows.access import Access

DEFAULT_PREFECT_PORT = 4200
"""Port where `prefect` itself looks, told by pyproject.toml."""
LOOPBACK = "127.0.0.1"
DEFAULT = "default"
"""Among the choices of a run: what its settings say."""
RUN_SETTINGS = {
    "size": "Preset of codec and model. By default `UNIAUDIO_SIZE`.",
    "device": "Where models run; cuda takes one GPU a worker. By default `UNIAUDIO_DEVICE`.",
    "start": "What training starts from: the folder of a text LLM (LlamaForCausalLM with its tokenizer.json) or of a whole model "
    "(`uniaudio lm import`, `uniaudio lm export`), or a ref of `checkpoint`. By default `UNIAUDIO_BACKBONE`, else fresh weights.",
    "store": "Folder or URI of the dataset store. By default `UNIAUDIO_STORE`, else `UNIAUDIO_DATA`/store.",
    "source": "Folder of audio and text whose top folders are the corpora. By default `UNIAUDIO_SOURCE`, else `UNIAUDIO_DATA`/source.",
    "models": "Folder of the annotators' models. By default `UNIAUDIO_MODELS`, else `UNIAUDIO_DATA`/models.",
}
"""Settings that a run may be told as parameters -> help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    data: Path
    store: str
    """A folder, or the URI of an object store."""
    source: Path
    models: Path
    evalsets: Path
    size: str
    device: str
    codec: str
    """Folder; empty: none."""
    backbone: str
    """Folder; empty: none."""
    prefect_port: int
    ray_port: int
    dashboard_port: int
    ray_host: str = LOOPBACK
    """Address of this machine at which the Ray head of `uniaudio up` listens."""

    start: str = ""
    """What training starts from, where a run says so: see `start.py`."""

    def of_jobs(self) -> dict[str, Any]:
        """The fields of jobs that are settings."""
        return {
            "source": str(self.source),
            "models": str(self.models),
            "size": self.size,
            "device": self.device,
            "num_gpus": 0.0 if self.device == "cpu" else 1.0,
        }

    def of_run(self, told: dict[str, str | None]) -> "Settings":
        """These, with what a run is told (`RUN_SETTINGS` -> value) in their place; "", None and `default` tell nothing."""
        values: dict[str, Any] = {name: value for name, value in told.items() if value not in (None, "", DEFAULT)}
        if "store" in values:
            values["store"] = _absolute(values["store"])
        for name in ("source", "models"):
            if name in values:
                values[name] = Path(values[name]).expanduser().resolve()
        return replace(self, **values)

    @property
    def services(self) -> Path:
        """Process records, logs and Prefect's database."""
        return self.data / "services"

    @property
    def prefect_url(self) -> str:
        return f"http://{LOOPBACK}:{self.prefect_port}"

    @property
    def ray_address(self) -> str:
        """Job address of somebody else's cluster; empty for the local head."""
        return os.environ.get("RAY_ADDRESS") or ""

    @property
    def dashboard_url(self) -> str:
        return self.ray_address or f"http://{LOOPBACK}:{self.dashboard_port}"

    @property
    def ray_folder(self) -> Path:
        """Around Ray's session folder, which Ray itself opens to everybody. Short and outside `data`: Unix sockets below it may not exceed
        107 bytes."""
        name = hashlib.sha256(str(self.data).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"uniaudio-ray-{name}"


def load_settings() -> Settings:
    """The settings of this process. UsageError where a port is not a number."""
    if os.environ.get(VARIABLE) and not settings_path().is_file():
        raise UsageError(f"`{VARIABLE}` must be a file of settings, but {settings_path()} is none.")
    place = setting("UNIAUDIO_DATA") or "data"
    is_remote = "://" in place
    data = Path("data" if is_remote else place).resolve()
    return Settings(
        data=data,
        store=_folder_or_uri("UNIAUDIO_STORE", f"{place.rstrip('/')}/store" if is_remote else str(data / "store")),
        source=_folder("UNIAUDIO_SOURCE", data / "source"),
        models=_folder("UNIAUDIO_MODELS", data / "models"),
        evalsets=_folder("UNIAUDIO_EVALSETS", data / "evalsets"),
        size=setting("UNIAUDIO_SIZE") or "debug",
        device=setting("UNIAUDIO_DEVICE") or "cpu",
        codec=_folder_or_none("UNIAUDIO_CODEC"),
        backbone=_folder_or_none("UNIAUDIO_BACKBONE"),
        prefect_port=_port("UNIAUDIO_PREFECT_PORT", DEFAULT_PREFECT_PORT),
        ray_port=_port("UNIAUDIO_RAY_PORT", 6380),
        dashboard_port=_port("UNIAUDIO_DASHBOARD_PORT", 8265),
        ray_host=setting("UNIAUDIO_RAY_HOST") or LOOPBACK,
    )


def service_environment(settings: Settings) -> dict[str, str]:
    """Environment of everything that `uniaudio up` starts, and of the clients that talk to it.

    What follows from `UNIAUDIO_DATA` is left to it: a run whose own environment names another folder has all of it there. What a settings
    file says is left to the file, which each run reads again.
    """
    paths = {
        "UNIAUDIO_STORE": settings.store,
        "UNIAUDIO_SOURCE": str(settings.source),
        "UNIAUDIO_MODELS": str(settings.models),
        "UNIAUDIO_EVALSETS": str(settings.evalsets),
        "UNIAUDIO_CODEC": settings.codec,
        "UNIAUDIO_BACKBONE": settings.backbone,
    }
    file = settings_path()
    return {
        **os.environ,
        "UNIAUDIO_DATA": str(settings.data),
        # Seen from the folder of the services, a relative path would be another.
        **{name: path for name, path in paths.items() if os.environ.get(name)},
        **({"UNIAUDIO_STORE": settings.store} if "://" in settings.store else {}),
        **({VARIABLE: str(file)} if file.is_file() else {}),
        "UNIAUDIO_DASHBOARD_PORT": str(settings.dashboard_port),
        "PREFECT_HOME": str(settings.services / "prefect"),
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Without both the server hands no lines to `--watch`, which then tells states alone, and never why a run failed.
        "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
        "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
        # The defaults (10 s, 10 s, 120 s) are too slow for a laptop, and for a cancel that cancels.
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Without it Ray on Linux replaces 127.0.0.1 by the machine's outward address, and listens there.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # A head that is told to stop has nobody to hand its work to: no 30 s of draining.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # A crowded machine takes longer than Ray's 60 and 30 s; who waits for the head is told that it goes on.
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600",
        "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "600",
        **Access(folder=settings.services).environment(is_local=not settings.ray_address),
    }


def _folder(variable: str, default: Path) -> Path:
    return Path(setting(variable) or default).expanduser().resolve()


def _folder_or_none(variable: str) -> str:
    return str(_folder(variable, Path())) if setting(variable) else ""


def _folder_or_uri(variable: str, default: str) -> str:
    return _absolute(setting(variable) or default)


def _absolute(folder_or_uri: str) -> str:
    if "://" not in folder_or_uri:
        return str(Path(folder_or_uri).expanduser().resolve())
    from uniaudio_schemas.store.object_client import checked_uri

    # Before it is shown anywhere: one with credentials is refused.
    return checked_uri(folder_or_uri)


def _port(variable: str, default: int) -> int:
    text = setting(variable) or str(default)
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise UsageError(f"`{variable}` must be a port from 1024 to 65535, but is {text}.")
    return int(text)
