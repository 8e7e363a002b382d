"""Entry point of the Ray job: `python -m uniaudio_pipelines.sequences_to_checkpoint --store ROOT --job JSON`."""

import argparse
import os
import signal
import socket
import sys
from typing import Any

from uniaudio_schemas.errors import UniaudioError
from uniaudio_schemas.files import disk_errors
from uniaudio_schemas.store import Store

from uniaudio_pipelines import cluster
from uniaudio_pipelines.jobs import job_from_json
from uniaudio_pipelines.sequences_to_checkpoint.driver import run_stages
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, 2 after an error a user can read, 143 after SIGTERM (what was trained is kept)."""
    parser = argparse.ArgumentParser(
        prog=f"python -m uniaudio_pipelines.{SequencesToCheckpoint.EDGE}", description=SequencesToCheckpoint.__doc__
    )
    parser.add_argument("--store", required=True, help="root of the store")
    parser.add_argument("--job", default="{}", help="fields of the job as JSON; those left out take their defaults")
    parser.add_argument(
        "--run-id", default=f"{socket.gethostname()}-{os.getpid()}", help="owner of the lease, key of the runs log"
    )
    options = parser.parse_args(arguments)
    try:
        job = job_from_json(SequencesToCheckpoint, options.job)
        cluster.connect()
        # After connecting: ray installs a handler of its own.
        signal.signal(signal.SIGTERM, _stop)
        with disk_errors(options.store):
            run_stages(Store.from_uri(options.store), job, owner=options.run_id)
    except UniaudioError as error:
        print(f"ERROR: {' '.join(str(error).split())}", flush=True)
        return 2
    finally:
        cluster.disconnect()
    return 0


def _stop(number: int, frame: Any) -> None:
    # Not an `Exception`, so that no handler on the way takes it for a failure; leases are released while it passes.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
