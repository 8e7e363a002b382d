"""The client of an object store, made from an address and the environment. Nothing here is printed that opens it.

open_client("s3://bucket/prefix")      with AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, … or the machine's own role
open_client("az://container/prefix")   with AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_ENDPOINT, …
open_client("gs://bucket/prefix")      with GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_BASE_URL, …
"""

import contextlib
import datetime
import ipaddress
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.extras import optional_packages

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "memory")
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Variables that name a server that is not the provider's own, the first one that is set counts."""
_ENDPOINT_OPTIONS = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}
_POLARS_OPTIONS = {"s3": "aws_endpoint_url", "gs": "google_base_url", "az": "azure_storage_endpoint"}
_PROVIDERS = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
READ_TIMEOUT_S = 20
"""A request that has not received a byte for so long has failed, and is made again."""
RETRY_S = 60
"""A request that fails for so long raises its error. Leases of locks last longer (`object_lock.LOCK_S`)."""
_MEMORY: dict[str, "ObjectStore"] = {}


def checked_uri(uri: str) -> str:
    """Address without a `/` at the end. One that holds credentials is refused without being repeated: addresses are printed, logged and
    seen in lists of processes."""
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
    """Options of a client for this place that the client does not read from the environment itself."""
    scheme = uri.partition("://")[0]
    return {
        "config": {_ENDPOINT_OPTIONS[scheme]: endpoint(scheme)} if endpoint(scheme) else None,
        "client_options": {
            "allow_http": allows_http(scheme),
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


def endpoint(scheme: str) -> str:
    """Address of a server that is not the provider's own; empty for the provider's."""
    return next((os.environ[name] for name in _ENDPOINTS[scheme] if os.environ.get(name)), "")


def allows_http(scheme: str) -> bool:
    """Whether requests may go without encryption: only to this machine, or where `AWS_ALLOW_HTTP` (`GOOGLE_…`, `AZURE_…`) says so."""
    if os.environ.get(f"{_PROVIDERS[scheme]}_ALLOW_HTTP", "").lower() in ("1", "true"):
        return True
    host = urlsplit(endpoint(scheme)).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def polars_options(uri: str) -> dict[str, Any]:
    """What Polars does not read from the environment itself; no credentials."""
    scheme = uri.partition("://")[0]
    return {_POLARS_OPTIONS[scheme]: endpoint(scheme)} if endpoint(scheme) else {}


def open_client(uri: str) -> "ObjectStore":
    with optional_packages():
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore, from_url
    if uri.startswith("memory://"):
        return _MEMORY.setdefault(uri, MemoryStore())
    try:
        return from_url(uri, **options(uri))
    except BaseError as error:
        raise UsageError(f"{uri}: {one_line(error)}") from error


class PartsGoneError(Exception):
    """Parts of an upload are not there when they are put together: an earlier try of that had arrived and its answer was lost, or,
    on Azure, another upload to the same path has ended meanwhile. Then the file is sent again."""


@contextlib.contextmanager
def parts_gone() -> Iterator[None]:
    """Around an upload in parts."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise PartsGoneError("the parts of the upload are gone, or there is no such bucket") from error
    except (BaseError, OSError) as error:
        # A stream of the client tells an `OSError`.
        if any(code in str(error) for code in ("NoSuchUpload", "InvalidBlockList")):
            raise PartsGoneError("the parts of the upload are gone, or there is no such bucket") from error
        raise


def one_line(error: Exception) -> str:
    """First line of an error, without what follows a `?` in an address (signatures)."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return re.sub(r"\?\S+", "", first).rstrip(" -.") + "."
