"""Uploads in parts that a killed writer left in S3, where they are paid for and seen by no listing of objects.

The object client cannot list them, so that these two requests are signed here. Azure's store drops its own by itself after a week; in
Google's a lifecycle rule of the bucket (`AbortIncompleteMultipartUpload`) is the way.
Sources: docs.aws.amazon.com, "ListMultipartUploads", "AbortMultipartUpload", "Signature Version 4".
"""

import datetime
import hashlib
import hmac
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store.object_client import allows_http, endpoint

TIMEOUT_S = 60.0
_SEPARATOR = " upload "


def unfinished(root: str, started_before: float) -> list[str]:
    """Names for `abort`, such as `tokens/shards/5f….arrow upload 2~x`. None where the environment names no keys: a machine's own role
    signs inside the object client, and a lifecycle rule of the bucket is the way then."""
    uploads, markers = list[str](), dict[str, str]()
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    while os.environ.get("AWS_ACCESS_KEY_ID"):
        page = ElementTree.fromstring(_request("GET", bucket, "", {"uploads": "", "prefix": prefix, **markers}))
        for upload in _children(page, "Upload"):
            started = datetime.datetime.fromisoformat(_text(upload, "Initiated")).timestamp()
            key = _text(upload, "Key")
            if started < started_before and key.startswith(f"{prefix}/" if prefix else ""):
                inside = key.removeprefix(f"{prefix}/") if prefix else key
                uploads.append(f"{inside}{_SEPARATOR}{_text(upload, 'UploadId')}")
        if _text(page, "IsTruncated") != "true":
            break
        markers = {"key-marker": _text(page, "NextKeyMarker"), "upload-id-marker": _text(page, "NextUploadIdMarker")}
    return uploads


def abort(root: str, name: str) -> None:
    """One that is over meanwhile is fine."""
    path, _, upload = name.partition(_SEPARATOR)
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    _request("DELETE", bucket, f"{prefix}/{path}" if prefix else path, {"uploadId": upload})


def _request(method: str, bucket: str, key: str, query: dict[str, str]) -> bytes:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    base = endpoint("s3") or f"https://s3.{region}.amazonaws.com"
    parts = urlsplit(base)
    if parts.scheme != "https" and not allows_http("s3"):
        raise StoreError(f"{base}: must be https, or on this machine, so nothing is asked of it.")
    path = quote(f"{parts.path.rstrip('/')}/{bucket}" + (f"/{key}" if key else ""))
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    headers = signed(method, parts.netloc, path, text, region, datetime.datetime.now(datetime.UTC))
    request = urllib.request.Request(f"{parts.scheme}://{parts.netloc}{path}?{text}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read()
            return data
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return b"<gone><IsTruncated>false</IsTruncated></gone>"
        raise StoreError(f"s3://{bucket}/{key}: unfinished uploads: the server answers {error.code}.") from error
    except OSError as error:
        raise StoreError(f"s3://{bucket}/{key}: unfinished uploads: {error}.") from error


def signed(method: str, host: str, path: str, query: str, region: str, now: datetime.datetime) -> dict[str, str]:
    """Headers of a request without a body, under the keys of the environment."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": stamp}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    canonical = "\n".join([method, path, query, *lines, "", names, empty])
    scope = f"{day}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers


def _children(page: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in page.iter() if child.tag.rpartition("}")[2] == name)


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in _children(element, name)), "")
