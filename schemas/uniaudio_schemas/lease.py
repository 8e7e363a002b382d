"""A lease with a fencing token keeps two runs of one plan apart.

<kind>/leases/<plan id>.json    {"owner": "…", "token": 3, "expires": 1700000000.0}

The token only grows. A run whose lease was taken over learns it at its next renewal, put or publish: LeaseLostError. Changes of the file are
serialized by a lock on a file beside it, so that two takers never get one token.
"""

import fcntl
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from uniaudio_schemas.errors import LeaseLostError, StoreError
from uniaudio_schemas.files import LocalFiles

LEASE_S = 30.0
RENEW_S = 5.0


@dataclass(frozen=True, kw_only=True)
class LeaseState:
    owner: str
    token: int
    expires: float
    """Unix time; 0 once released."""


class Lease:
    """Held from `acquire` to `release`; a thread renews it meanwhile."""

    def __init__(self, files: LocalFiles, path: str, owner: str, lease_s: float = LEASE_S) -> None:
        self._files, self._path, self._owner, self._lease_s = files, path, owner, lease_s
        self.token = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """StoreError where another owner holds it and renews it."""
        with self._locked():
            state = read_lease(self._files, self._path)
            if state and state.owner != self._owner and state.expires > time.time():
                wait_s = state.expires - time.time()
                raise StoreError(f"{self._path} is held by {state.owner}: it is at work, or it died and the lease ends in {wait_s:.0f} s.")
            self.token = (state.token if state else 0) + 1
            self._write(time.time() + self._lease_s)
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let go; the token stays, so that the next one is greater. A lost lease is left to its new owner."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._locked():
            state = read_lease(self._files, self._path)
            if state and state.token == self.token:
                self._write(0.0)

    def _renew(self) -> None:
        while not self._stop.wait(min(RENEW_S, self._lease_s / 3)):
            with self._locked():
                state = read_lease(self._files, self._path)
                if not state or state.token != self.token:
                    return  # lost: `check_token` tells the run at its next put
                self._write(time.time() + self._lease_s)

    def _write(self, expires: float) -> None:
        state = LeaseState(owner=self._owner, token=self.token, expires=expires)
        self._files.write_bytes(self._path, json.dumps(asdict(state)).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._files.path(self._path + ".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("a")
        except OSError as error:
            raise self._files.explain(error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def read_lease(files: LocalFiles, path: str) -> LeaseState | None:
    text = files.read_text(path)
    return LeaseState(**json.loads(text)) if text else None


def check_token(files: LocalFiles, path: str, token: int) -> None:
    """LeaseLostError unless `token` is the newest one given out."""
    state = read_lease(files, path)
    if state is None or state.token != token:
        raise LeaseLostError(f"{path}: another run took over (token {state.token if state else 0}, this one has {token}).")
