"""The right to write one version: a lease with a fencing token, renewed by a heart-beat.

A new holder gets the next token. Every write of a unit and of a manifest checks its token under a lock that taking over needs
too, so that a holder that was believed dead (stopped, cut off, asleep) can do no harm when it comes back: `LeaseLostError`.

`<kind>/leases/<plan id>.json`:
    {"expires_at": 1764000030.0, "owner": "raysubmit_7f3a", "process": "<boot>:<namespace>:<pid>:<start>", "token": 2}
The file stays after the work is done: it is the counter.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from uniaudio_schemas.errors import LeaseLostError, StoreError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store.files import Files

log = logging.getLogger(__name__)

LEASE_S = 30.0
"""A holder that has not renewed for so long is taken for dead."""
STORE_LOCK = ".lock"
"""Held shared by whoever adds something, exclusively by `collect`."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    token: int
    owner: str
    expires_at: float
    """Unix time; 0 once released."""
    process: str = ""
    """Identity of the holder's process on its machine."""

    @property
    def live(self) -> bool:
        return self.expires_at > time.time() and process_lives(self.process) is not False


def read_lease(files: Files, kind: str, plan_id: str) -> Lease | None:
    path = f"{kind}/leases/{plan_id}.json"
    data = files.read(path)
    if data is None:
        return None
    return from_json(Lease, data, f"{files.root}/{path}")


def acquire(files: Files, kind: str, plan_id: str, owner: str, lease_s: float = LEASE_S) -> Lease:
    """Take the lease: free, expired, its process gone, or of the same owner. Waits for a silent holder to expire."""
    seen: Lease | None = None
    while True:
        taken, holder = _try(files, kind, plan_id, owner, lease_s)
        if taken is not None:
            return taken
        renewed = seen is not None and holder != seen
        if renewed or process_lives(holder.process) is True:
            raise StoreError(f"{kind} {plan_id[:8]} is being made by {holder.owner!r} now: wait for it, or stop it.")
        seen = holder
        # Nothing is known of its process: a live one renews within a third of the lease, a dead one runs out.
        time.sleep(min(0.2, lease_s / 10))


def _try(files: Files, kind: str, plan_id: str, owner: str, lease_s: float) -> tuple[Lease | None, Lease]:
    with _locked(files, kind, plan_id, exclusive=True):
        found = read_lease(files, kind, plan_id)
        if found is not None and found.live and found.owner != owner:
            return None, found
        token = found.token + 1 if found is not None else 1
        lease = Lease(token=token, owner=owner, expires_at=time.time() + lease_s, process=process_identity())
        _write(files, kind, plan_id, lease)
        return lease, lease


@contextlib.contextmanager
def fence(files: Files, kind: str, plan_id: str, token: int, *, exclusive: bool = False) -> Iterator[None]:
    """While inside, nobody can take over; raises `LeaseLostError` where somebody has, or where the lease is released."""
    with _locked(files, kind, plan_id, exclusive=exclusive):
        check(files, kind, plan_id, token)
        yield


def check(files: Files, kind: str, plan_id: str, token: int) -> None:
    """The same without holding anybody off: to stop early."""
    found = read_lease(files, kind, plan_id)
    if found is None:
        raise LeaseLostError(f"{kind} {plan_id[:8]}: nobody holds its lease, so nothing may be written.")
    if found.token != token:
        raise LeaseLostError(
            f"{kind} {plan_id[:8]}: {found.owner!r} took over (token {found.token}, ours is {token}); this run stops."
        )
    if found.expires_at == 0:
        raise LeaseLostError(
            f"{kind} {plan_id[:8]}: the lease with token {token} has ended, so nothing may be written."
        )


def release(files: Files, kind: str, plan_id: str, token: int) -> None:
    """End the lease if it is still ours; the token stays counted."""
    with _locked(files, kind, plan_id, exclusive=True):
        found = read_lease(files, kind, plan_id)
        if found is not None and found.token == token:
            _write(files, kind, plan_id, replace(found, expires_at=0.0))


class HeartBeat:
    """Renews a lease from a thread until stopped or taken over."""

    def __init__(self, files: Files, kind: str, plan_id: str, lease: Lease, lease_s: float) -> None:
        self._place = (files, kind, plan_id)
        self._lease, self._lease_s = lease, lease_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{kind}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._lease_s / 3):
            try:
                self._renew()
            except LeaseLostError as error:
                log.warning("%s", error)
                return
            except StoreError as error:
                # A full disk or a stuck lock may pass before the lease runs out; the next beat tries again.
                log.warning("heart-beat: %s", error)

    def _renew(self) -> None:
        files, kind, plan_id = self._place
        with fence(files, kind, plan_id, self._lease.token, exclusive=True):
            _write(files, kind, plan_id, replace(self._lease, expires_at=time.time() + self._lease_s))


@contextlib.contextmanager
def _locked(files: Files, kind: str, plan_id: str, *, exclusive: bool) -> Iterator[None]:
    with (
        files.lock(STORE_LOCK, exclusive=False),
        files.lock(f"{kind}/leases/{plan_id}.lock", exclusive=exclusive),
    ):
        yield


def _write(files: Files, kind: str, plan_id: str, lease: Lease) -> None:
    files.write(f"{kind}/leases/{plan_id}.json", (canonical_json(asdict(lease)) + "\n").encode())


def process_identity(pid: int | None = None) -> str:
    """Names a process for as long as its machine runs; empty where the system does not tell."""
    place, started = _place(), _started(os.getpid() if pid is None else pid)
    return f"{place}:{os.getpid() if pid is None else pid}:{started}" if place and started else ""


def process_lives(identity: str) -> bool | None:
    """None: it ran elsewhere, so this machine cannot know."""
    place, _, rest = identity.rpartition(":")
    place, _, pid = place.rpartition(":")
    if not place or place != _place():
        return None
    return _started(int(pid)) == rest if pid.isdigit() else None


def _place() -> str:
    """This boot of this machine, and the namespace in which its process ids mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 (the link has no target to resolve)
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time of a running process in clock ticks; empty where it is gone or a zombie."""
    try:
        # After the name, which may hold spaces and brackets: field 3 is the state, field 22 the start time.
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if values[0] in "ZX" else values[19]
