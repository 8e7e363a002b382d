"""What `uniaudio serve` runs: `python -m uniaudio_pipelines.checkpoint_to_service --service JSON`."""

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UniaudioError
from uniaudio_schemas.pulse import Lines, pulse

from uniaudio_pipelines.checkpoint_to_service.service import metrics_addresses, serving
from uniaudio_pipelines.checkpoint_to_service.settings import Service, service_of


def main() -> int:
    """Serves until Ctrl-C or SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Serve a model over HTTP.")
    parser.add_argument("--service", required=True, help="settings as JSON")
    signal.signal(signal.SIGTERM, _stop)
    try:
        _serve(service_of(parser.parse_args().service.encode()))
    except UniaudioError as error:
        print(f"uniaudio: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", flush=True)
    return 0


def _serve(service: Service) -> None:
    print(f"{service.model}: is put into service …", flush=True)
    with ExitStack() as stack:
        with pulse(Lines(sys.stdout), "is put into service"):
            url = stack.enter_context(serving(service))
        print(f"{Path(service.model).resolve().name}: {url} (page), {url}v1 (for OpenAI's clients)", flush=True)
        for address in metrics_addresses():
            print(f"metrics: {address}", flush=True)
        signal.pause()


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
