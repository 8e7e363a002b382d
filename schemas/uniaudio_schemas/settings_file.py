"""Settings from the environment or, where it is silent, from `uniaudio.toml`.

uniaudio.toml    source = "/recordings"      is UNIAUDIO_SOURCE=/recordings
                 size = "starter"            is UNIAUDIO_SIZE=starter
                 prefect_port = 4300         is UNIAUDIO_PREFECT_PORT=4300

The file is that of the working folder, or the one that `UNIAUDIO_SETTINGS` names; paths in it are seen from its folder.
It is read again whenever a setting is asked for, so that a run has what the file says when it starts.
"""

import os
import tomllib
from functools import lru_cache
from pathlib import Path

from uniaudio_schemas.errors import UsageError

FILE, VARIABLE, PREFIX = "uniaudio.toml", "UNIAUDIO_SETTINGS", "UNIAUDIO_"
FOLDERS = frozenset({"cache", "codec", "data", "backbone", "evalsets", "model", "models", "source", "store"})
"""Settings whose value is a path, or the URI of an object store."""
NAMES = FOLDERS | {"cache_bytes", "dashboard_port", "device", "prefect_port", "ray_host", "ray_port", "size"}


def setting(variable: str) -> str:
    """The value of `UNIAUDIO_…`; empty where neither the environment nor the file says it. UsageError where the file is not such a file."""
    return os.environ.get(variable) or told_by_file().get(variable, "")


def settings_path() -> Path:
    """Where the file is, or would be."""
    return Path(os.environ.get(VARIABLE) or FILE).expanduser().absolute()


def told_by_file() -> dict[str, str]:
    """`UNIAUDIO_…` -> value, of all that the file says; empty where there is none."""
    path = settings_path()
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return {}
    return _read(path, changed)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    if unknown := sorted(set(values) - NAMES):
        raise UsageError(f"{path}: settings are {', '.join(sorted(NAMES))}, but it has {', '.join(unknown)}.")
    for name, value in values.items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise UsageError(f"{path}: `{name}` must be a string or a whole number, but is {value!r}.")
    return {f"{PREFIX}{name.upper()}": _seen_from(path.parent, name, str(value)) for name, value in values.items()}


def _seen_from(folder: Path, name: str, value: str) -> str:
    is_path = name in FOLDERS and value and "://" not in value
    return str(folder / Path(value).expanduser()) if is_path else value
