"""Entry point of the Ray job: `python -m uniaudio_pipelines.sequences_to_checkpoint --store ROOT --job JSON`."""

import argparse
import os
import socket
import sys

from uniaudio_schemas.errors import UniaudioError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.files import disk_errors

from uniaudio_pipelines.jobs import job_from_json
from uniaudio_pipelines.running import cluster
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
        with cluster.stoppable() as stopped, disk_errors(options.store):
            run_stages(Store.from_uri(options.store), job, owner=options.run_id)
    except UniaudioError as error:
        print(f"ERROR: {' '.join(str(error).split())}", flush=True)
        return 2
    finally:
        cluster.disconnect()
    if stopped:
        print(f"STOPPED {SequencesToCheckpoint.EDGE}: the next run continues from the last checkpoint", flush=True)
        return 128 + stopped[0]
    return 0


if __name__ == "__main__":
    sys.exit(main())
