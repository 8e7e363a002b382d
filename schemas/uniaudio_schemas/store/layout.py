"""Where things lie below a store's root. Every name that comes from outside is checked here before it becomes a path."""

from uniaudio_schemas.names import check_hash, check_kind, check_name
from uniaudio_schemas.store.manifest import Plan

RUNS = "runs"
BLOBS = "blobs"
FORGOTTEN = "forgotten"
TRAIN = "train"
"""`train/<plan id>/…`: what a training run of that plan keeps to go on from."""
CURVES = "curves"
"""`curves/<stage>-<plan id>/…`: what a training run has told of itself, for people to look at."""
CACHE = "cache"
"""What an edge can compute again."""


def shard_path(kind: str, sha256: str) -> str:
    return f"{check_kind(kind)}/shards/{check_hash(sha256, 64, 'sha256')}.arrow"


def blob_path(sha256: str) -> str:
    return f"{BLOBS}/{check_hash(sha256, 64, 'sha256')[:2]}/{sha256}"


def hashes_folder(kind: str) -> str:
    return f"{check_kind(kind)}/hashes"


def hashes_path(kind: str, sha256: str) -> str:
    """Hashes of the rows of some shards (`kept_hashes`)."""
    return f"{hashes_folder(kind)}/{check_hash(sha256, 64, 'sha256')}.arrow"


def version_path(kind: str, plan_id: str) -> str:
    return f"{check_kind(kind)}/versions/{check_hash(plan_id, 32, 'plan_id')}.json"


def ref_path(kind: str, ref: str) -> str:
    return f"{check_kind(kind)}/refs/{check_name(ref, 'ref')}.json"


def staging_folder(plan: Plan) -> str:
    return f"{plan.kind}/staging/{plan.plan_id}"


def unit_path(plan: Plan, unit: str) -> str:
    """The record that a unit is finished (`units`)."""
    return f"{staging_folder(plan)}/{check_name(unit, 'unit')}.arrow"


def run_path(name: str) -> str:
    return f"{RUNS}/{check_name(name, 'run_id')}.json"


def forgotten_path(record_id: str) -> str:
    return f"{FORGOTTEN}/{check_hash(record_id, 32, 'record_id')}.json"
