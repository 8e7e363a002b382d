"""The right to write one version: a lease with a fencing token, renewed by a heart-beat.

A new holder gets the next token. On a disk every write of a unit and of a manifest checks its token under a lock that taking over
needs too, so that a holder that was believed dead (stopped, cut off, asleep) can do no harm when it comes back: `LeaseLostError`.
In an object store the lease changes by conditional PUT, the token is checked before each write, and what is written after all by
one that lost it is either what the new holder writes too or refused (decision record 11).

`<kind>/leases/<plan id>.json`:
    {"expires_at": 1764000030.0, "lease_s": 30.0, "owner": "raysubmit_7f3a", "process": "<boot>:<namespace>:<pid>:<start>", "token": 2}
The file stays after the work is done: it is the counter.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from uniaudio_schemas.errors import LeaseLostError, StoreError, UniaudioError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store.files import Files, Seen
from uniaudio_schemas.store.processes import CLOCKS_S, Silence, process_identity, process_lives

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
    lease_s: float = LEASE_S
    """A holder that has not renewed for so long is taken for dead."""

    @property
    def live(self) -> bool:
        """Perhaps: the holder of another machine may have another clock."""
        lives = process_lives(self.process)
        if lives is False or self.expires_at == 0:
            return False
        return self.expires_at + (0.0 if lives else CLOCKS_S) > time.time()


def read_lease(files: Files, kind: str, plan_id: str) -> Lease | None:
    return _read(files, kind, plan_id)[0]


def acquire(files: Files, kind: str, plan_id: str, owner: str, lease_s: float = LEASE_S) -> Lease:
    """Take the lease: free, its process gone, of the same owner, or silent for as long as it lasts, for which this waits."""
    seen: Lease | None = None
    silence = Silence()
    while True:
        own_lease, holder = _try(files, kind, plan_id, owner, lease_s, silence)
        if own_lease is not None:
            return own_lease
        if holder is not None:
            renewed = seen is not None and holder != seen
            if renewed or process_lives(holder.process) is True:
                raise StoreError(
                    f"{kind} {plan_id[:8]} is being made by {holder.owner!r} now: wait for it, or stop it."
                )
            # Nothing is known of its process: a live one renews within a third of the lease, a dead one stays silent.
            seen = holder
        time.sleep(min(0.2, lease_s / 10))


def _try(
    files: Files, kind: str, plan_id: str, owner: str, lease_s: float, silence: Silence
) -> tuple[Lease | None, Lease | None]:
    """The lease if it was taken, else who has it; neither where another was quicker."""
    with _locked(files, kind, plan_id, exclusive=True):
        current, seen = _read(files, kind, plan_id)
        if (
            current is not None
            and current.owner != owner
            and current.live
            and silence.seconds("", current) < current.lease_s
        ):
            return None, current
        token = current.token + 1 if current is not None else 1
        until = time.time() + lease_s
        lease = Lease(token=token, owner=owner, expires_at=until, process=process_identity(), lease_s=lease_s)
        return (lease if _swap(files, kind, plan_id, lease, seen) else None), None


@contextlib.contextmanager
def fence(files: Files, kind: str, plan_id: str, token: int, *, exclusive: bool = False) -> Iterator[None]:
    """While inside, nobody can take over; raises `LeaseLostError` where somebody has, or where the lease is released."""
    with _locked(files, kind, plan_id, exclusive=exclusive):
        check(files, kind, plan_id, token)
        yield


def check(files: Files, kind: str, plan_id: str, token: int) -> None:
    """The same without holding anybody off: to stop early."""
    _checked(read_lease(files, kind, plan_id), kind, plan_id, token)


def _checked(lease: Lease | None, kind: str, plan_id: str, token: int) -> Lease:
    if lease is None:
        raise LeaseLostError(f"{kind} {plan_id[:8]}: nobody holds its lease, so nothing may be written.")
    if lease.token != token:
        raise LeaseLostError(
            f"{kind} {plan_id[:8]}: {lease.owner!r} took over (token {lease.token}, ours is {token}); this run stops."
        )
    if lease.expires_at == 0:
        raise LeaseLostError(
            f"{kind} {plan_id[:8]}: the lease with token {token} has ended, so nothing may be written."
        )
    return lease


def release(files: Files, kind: str, plan_id: str, token: int) -> None:
    """End the lease if it is still ours; the token stays counted."""
    with contextlib.suppress(LeaseLostError):
        _change(files, kind, plan_id, token, lambda lease: replace(lease, expires_at=0.0))


def _change(files: Files, kind: str, plan_id: str, token: int, change: Callable[[Lease], Lease]) -> None:
    """`LeaseLostError` where another has it, or it has ended."""
    while True:
        with _locked(files, kind, plan_id, exclusive=True):
            lease, seen = _read(files, kind, plan_id)
            mine = _checked(lease, kind, plan_id, token)
            if _swap(files, kind, plan_id, change(mine), seen):
                return


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
            except UniaudioError as error:
                # A full disk, a stuck lock, a torn read may pass before the lease runs out; the next beat tries again.
                log.warning("heart-beat: %s", error)

    def _renew(self) -> None:
        files, kind, plan_id = self._place
        _change(files, kind, plan_id, self._lease.token, self._renewed)

    def _renewed(self, lease: Lease) -> Lease:
        return replace(lease, expires_at=time.time() + self._lease_s)


@contextlib.contextmanager
def _locked(files: Files, kind: str, plan_id: str, *, exclusive: bool) -> Iterator[None]:
    if not files.fences:
        yield
        return
    with (
        files.lock(STORE_LOCK, exclusive=False),
        files.lock(f"{kind}/leases/{plan_id}.lock", exclusive=exclusive),
    ):
        yield


def _read(files: Files, kind: str, plan_id: str) -> tuple[Lease | None, Seen | None]:
    path = f"{kind}/leases/{plan_id}.json"
    where = f"{files.root}/{path}"
    return files.load(path, lambda seen: (from_json(Lease, seen.data, where), seen)) or (None, None)


def _swap(files: Files, kind: str, plan_id: str, lease: Lease, seen: Seen | None) -> bool:
    return files.swap(f"{kind}/leases/{plan_id}.json", (canonical_json(asdict(lease)) + "\n").encode(), seen)
