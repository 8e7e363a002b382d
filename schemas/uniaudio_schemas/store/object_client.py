"""The client of an object store, made from an address and the environment. Nothing here is printed that opens it.

open_client("s3://bucket/prefix")      with AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, … or the machine's own role
"""

import contextlib
import datetime
import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from uniaudio_schemas.errors import UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "memory")
READ_TIMEOUT_S = 20
"""Without a byte for so long a request has failed, and is made again."""
RETRY_S = 60
"""After so long a failure is told. Leases of locks last longer (`object_lock.LOCK_S`)."""
_MEMORY: dict[str, "ObjectStore"] = {}


def checked_uri(uri: str) -> str:
    """Without a `/` at the end. An address that holds credentials is refused without being repeated: addresses are printed, logged
    and seen in lists of processes."""
    scheme, _, rest = uri.partition("://")
    if scheme not in SCHEMES:
        raise UsageError(
            f"`root` must be a folder or an address that begins with {', '.join(f'{name}://' for name in SCHEMES[:-1])}, "
            f"but begins with {scheme}://."
        )
    if set("@?#") & set(rest):
        raise UsageError(
            f"`root` must be {scheme}://bucket/prefix alone, without credentials and options: they are read from the environment."
        )
    if not rest.strip("/") or ".." in rest.split("/"):
        raise UsageError(f"`root` must be {scheme}://bucket/prefix, but is {uri}.")
    return uri.rstrip("/")


def options(uri: str) -> dict[str, Any]:
    """Of a client of the place: what it does not read from the environment itself."""
    return {
        "config": {"endpoint": endpoint()} if uri.startswith("s3://") and endpoint() else None,
        "client_options": {
            "allow_http": allows_http(),
            "connect_timeout": "5s",
            "read_timeout": f"{READ_TIMEOUT_S}s",
            "timeout": "10m",
        },
        "retry_config": {
            "max_retries": 10,
            "retry_timeout": datetime.timedelta(seconds=RETRY_S),
            "backoff": {
                "init_backoff": datetime.timedelta(milliseconds=100),
                "max_backoff": datetime.timedelta(seconds=5),
            },
        },
    }


def endpoint() -> str:
    """Of an S3 server that is not Amazon's; empty for theirs."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def allows_http() -> bool:
    """Without encryption only to this machine, or where $AWS_ALLOW_HTTP says so."""
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
        return True
    host = urlsplit(endpoint()).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def polars_options(uri: str) -> dict[str, Any]:
    """What Polars does not read from the environment itself; no credentials."""
    if not uri.startswith("s3://") or not endpoint():
        return {}
    return {"aws_endpoint_url": endpoint(), "aws_allow_http": str(allows_http()).lower()}


def open_client(uri: str) -> "ObjectStore":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore, from_url
    except ModuleNotFoundError as error:
        raise UsageError(
            "A store in an object store needs the package obstore: `pip install 'uniaudio[objects]'`."
        ) from error
    if uri.startswith("memory://"):
        return _MEMORY.setdefault(uri, MemoryStore())
    try:
        return from_url(uri, **options(uri))
    except BaseError as error:
        raise UsageError(f"{uri}: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """Its first line, without what follows a `?` in an address (signatures)."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return re.sub(r"\?\S+", "", first).rstrip(" -.") + "."
