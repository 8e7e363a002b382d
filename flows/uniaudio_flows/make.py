"""`uniaudio make KIND`: the flow that makes a kind, by the kind's name."""

import sys

from uniaudio_schemas.errors import UsageError

from uniaudio_flows.deployments import run_deployment
from uniaudio_flows.services import running_services
from uniaudio_flows.settings import Settings

FLOW_OF_KIND = {
    "raw": "ingest-corpus",
    "annotated": "annotate-corpus",
    "codec": "train-codec",
    "instructions": "build-multitask-data",
    "tokens": "tokenize-corpus",
    "sequences": "build-sequences",
    "checkpoint": "train-stage",
    "scores": "evaluate-checkpoint",
    "codec_scores": "evaluate-codec",
}


def make_kind(kind: str, settings: Settings) -> int:
    """Run the kind's deployment; exit code 0 if it completed, else 1."""
    if "prefect-worker" not in running_services(settings):
        raise UsageError("no services are running: start them with `uniaudio up`.")
    return (
        0 if run_deployment(f"{FLOW_OF_KIND[kind]}/local", settings, lambda line: print(line, file=sys.stderr)) else 1
    )
