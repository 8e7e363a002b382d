"""Large files on each cloud: they go up in parts, whose answers are lost or late, and what S3 keeps of an upload whose writer was killed."""

import datetime
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from uniaudio_schemas.store import Store, bucket, object_client, s3_uploads
from uniaudio_schemas.store.arrow_files import arrow_filesystem
from uniaudio_schemas.testing import a_plan

from tests.clouds import Cloud
from tests.s3 import Fault, Proxy

pytestmark = pytest.mark.slow


def large(seed: int) -> bytes:
    return random.Random(seed).randbytes(2 * bucket.PART_BYTES + 5)


def put(store: Store, data: bytes) -> None:
    with store.files.temporary("") as temporary:
        temporary.file.write(data)
        temporary.commit("x")


def test_large_files_go_up_in_parts(remote: Store, proxy: Proxy) -> None:
    with remote.writer(a_plan(), owner="one") as writer:
        blob = writer.put_blob(large(0))
        assert sum("partNumber=" in line or "comp=block&" in line for line in proxy.log) == 3
        before = len(proxy.log)
        assert writer.put_blob(large(0)) == blob
        assert not any("PUT" in line for line in proxy.log[before:])
    assert remote.open_blob(blob).read_bytes() == large(0)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_parts_whose_answer_was_lost_as_they_were_put_together_are_there_whole(
    is_streamed: bool, remote: Store, proxy: Proxy
) -> None:
    """The client asks again, and is told that there are no such parts."""
    lost = iter([Fault(status=503, after=True)])

    def lose(method: str, path: str) -> Fault | None:
        is_end = "comp=blocklist" in path or (method == "POST" and "uploadId=" in path)
        return next(lost, None) if is_end else None

    proxy.fault = lose
    if is_streamed:
        filesystem, base = arrow_filesystem(str(remote.root))
        with filesystem.open_output_stream(f"{base}/x") as stream:
            stream.write(large(0))
    else:
        put(remote, large(0))
    assert next(lost, None) is None and remote.files.read("x") == large(0)


def test_an_upload_and_a_delete_whose_answers_are_late_are_asked_again(
    cloud: Cloud, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "READ_TIMEOUT_S", 3)
    store, late = Store(cloud.a_uri()), iter([Fault(delay_s=4.5)])
    proxy.fault = lambda method, path: next(late, None)
    put(store, large(0))
    assert store.files.read("x") == large(0)
    late = iter([Fault(delay_s=4.5)])
    store.files.delete("x")
    assert next(late, None) is None and store.files.read("x") is None


def test_two_uploads_to_one_path_leave_one_of_both_whole(remote: Store, proxy: Proxy) -> None:
    """Both have sent all their parts before the first one puts them together: Azure's store then drops the others."""
    together = threading.Barrier(2)
    ends = iter(range(2))

    def wait(method: str, path: str) -> None:
        if ("comp=blocklist" in path or (method == "POST" and "uploadId=" in path)) and next(ends, None) is not None:
            together.wait(60)

    proxy.fault = wait
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(put, remote, large(seed)) for seed in range(2)]:
            done.result()
    assert remote.files.read("x") in (large(0), large(1))


@pytest.mark.parametrize("cloud", ["s3"], indirect=True)
def test_an_upload_that_was_killed_is_garbage_once_nobody_is_at_work(remote: Store) -> None:
    code = (
        "import obstore, os, sys, threading; from uniaudio_schemas.store import Store;"
        "files = Store(sys.argv[1]).files; writer = obstore.open_writer(files.bucket.client, 'blobs/aa/x', buffer_size=6 * 2**20);"
        "writer.write(bytes(7 * 2**20)); writer.write(bytes(7 * 2**20)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(remote.root)], check=False)
    assert remote.files.unfinished_uploads(0.0) == []
    with remote.writer(a_plan(), owner="one"):
        assert remote.collect() == []
    (name,) = remote.collect(dry_run=False)
    assert name.startswith("unfinished upload blobs/aa/x upload ")
    assert remote.collect() == []


def test_requests_are_signed_as_the_vendors_own_client_signs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    url = "https://host:9/bucket/a%20b"
    now = datetime.datetime.now(datetime.UTC)
    ours = s3_uploads.signed("DELETE", "host:9", "/bucket/a%20b", "uploadId=x%2Fy", "eu-west-1", now)
    theirs = AWSRequest("DELETE", f"{url}?uploadId=x%2Fy")
    signer = S3SigV4Auth(Credentials("key", "secret", "token"), "s3", "eu-west-1")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None), raising=False)
    signer.add_auth(theirs)
    assert ours["Authorization"].rpartition("=")[2] == theirs.headers["Authorization"].rpartition("=")[2]
