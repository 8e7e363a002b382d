"""`uniaudio serve`: a model over HTTP, until Ctrl-C. Reads the options here; the service runs in its own process, which loads torch."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.settings_file import setting

from uniaudio.shipped import shipped_model
from uniaudio_flows.settings import load_settings

MODULE = "uniaudio_pipelines.checkpoint_to_service"


def add_command(commands: Any) -> None:
    """Add `serve` to `uniaudio`."""
    text = "serve a model over HTTP: a page, its tasks, and an API for OpenAI's clients"
    parser = commands.add_parser("serve", help=text, description=text)
    parser.add_argument(
        "model",
        nargs="?",
        help="folder of a model, or store with a checkpoint (default $UNIAUDIO_MODEL, else the store, else the model that comes with the project)",
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1); any other wants --key-file")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000)")
    parser.add_argument("--key-file", help="file with the key that requests must bear")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another field of `Service` or of its `Limits`, such as num_replicas=2, compiles=true or limits.input_s=30",
    )
    parser.set_defaults(run=serve)


def serve(options: argparse.Namespace) -> int:
    """Becomes the process of the service."""
    # What is wrong with the settings is said before anything is loaded.
    from uniaudio_pipelines.checkpoint_to_service.settings import service_of

    plain = json.dumps(settings_of(options))
    service_of(plain.encode()).check_files()
    os.execv(sys.executable, [sys.executable, "-m", MODULE, "--service", plain])


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Service` that were named; the rest are its defaults."""
    plain: dict[str, Any] = {"model": str(options.model or setting("UNIAUDIO_MODEL") or _default_model())}
    plain["device"] = load_settings().device
    named_options = {"host": options.host, "port": options.port}
    named_options["key_file"] = options.key_file and str(Path(options.key_file).resolve())
    plain |= {name: value for name, value in named_options.items() if value is not None}
    for assignment in options.set:
        name, is_given, value = assignment.partition("=")
        if not is_given:
            raise UsageError(f"`--set` must be NAME=VALUE, but is {assignment!r}.")
        *parents, last = name.split(".")
        fields: Any = plain
        for parent in parents:
            fields = fields.setdefault(parent, {})
            if not isinstance(fields, dict):
                raise UsageError(
                    f"`--set` must name a field of `Service` or of its `Limits`, but `{name}` is no field."
                )
        fields[last] = _value(value)
    return plain


def _default_model() -> str | Path:
    """The store, which is here or nowhere; where it is nowhere and no setting names one, the model that comes with the project. As
    `uniaudio run` chooses."""
    store = load_settings().store
    is_named = bool(setting("UNIAUDIO_STORE") or setting("UNIAUDIO_DATA"))
    return store if is_named or Path(store).exists() else shipped_model() or store


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
