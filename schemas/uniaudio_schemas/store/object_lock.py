"""A lock of an object store: one object says who holds it and until when, and every change of it is a conditional PUT.

    {"epoch": 7, "holders": {"5f1c…": {"exclusive": true, "expires_at": 1764000150.0, "process": "<boot>:<namespace>:<pid>:<start>"}}}

A thread renews what is held. A holder that could not renew in time (stopped, cut off) is told so before its next write (`check`):
others may have the lock by then. `epoch` counts exclusive holders, so that one can tell whether there was one in between.
"""

import logging
import random
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType

from uniaudio_schemas.errors import StoreError, UniaudioError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store.files import Files, Seen
from uniaudio_schemas.store.processes import CLOCKS_S, Silence, process_identity, process_lives

log = logging.getLogger(__name__)

LOCK_S = 150.0
"""Seconds after which a holder that has not renewed is taken for dead."""
LOCK_TIMEOUT_S = LOCK_S + 30.0
"""Seconds to wait for the lock, long enough to see that a dead holder stays silent."""
MARGIN_S = 75.0
"""Seconds of the lock that must be left when a write begins. A request that is tried again ends within them (`object_client.RETRY_S`)."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    exclusive: bool
    expires_at: float
    process: str


@dataclass(frozen=True, kw_only=True)
class LockState:
    epoch: int = 0
    holders: dict[str, Holder] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return (canonical_json(asdict(self)) + "\n").encode()


class Held:
    """A context manager: waits for the lock, holds it, lets go of it."""

    def __init__(self, files: Files, path: str, *, exclusive: bool) -> None:
        self._files, self._path, self._exclusive = files, path, exclusive
        self._name = secrets.token_hex(8)
        self._until = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lock", daemon=True)

    def __enter__(self) -> "Held":
        deadline, silence = time.monotonic() + LOCK_TIMEOUT_S, Silence()
        while not self._try(silence):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{self._files.root}/{self._path}: somebody has held this lock for {LOCK_TIMEOUT_S:.0f} s."
                )
            time.sleep(random.uniform(0.05, 0.25))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            self._change(None)
        except UniaudioError as failure:
            log.warning("%s/%s not released, it will run out: %s", self._files.root, self._path, failure)

    def check(self) -> None:
        """`StoreError` where the lock may be somebody else's before a write that begins now has ended."""
        if time.monotonic() > self._until - MARGIN_S:
            raise StoreError(
                f"{self._files.root}/{self._path}: this lock could not be renewed, so nothing more is written."
            )

    def _try(self, silence: Silence) -> bool:
        state, seen = read_state(self._files, self._path)
        living = {name: holder for name, holder in state.holders.items() if not is_over(name, holder, silence)}
        if living and (self._exclusive or any(holder.exclusive for holder in living.values())):
            return False
        asked_at = time.monotonic()
        new = LockState(epoch=state.epoch + self._exclusive, holders={**living, self._name: self._mine()})
        if not self._files.swap(self._path, new.to_bytes(), seen):
            return False
        self._until = asked_at + LOCK_S
        return True

    def _mine(self) -> Holder:
        return Holder(exclusive=self._exclusive, expires_at=time.time() + LOCK_S, process=process_identity())

    def _change(self, mine: Holder | None) -> bool:
        """Renew, or with None let go; False where we are no holder any more."""
        while True:
            state, seen = read_state(self._files, self._path)
            if self._name not in state.holders:
                return False
            holders = {name: holder for name, holder in state.holders.items() if name != self._name}
            new = replace(state, holders=holders if mine is None else {**holders, self._name: mine})
            if self._files.swap(self._path, new.to_bytes(), seen):
                return True
            time.sleep(random.uniform(0.0, 0.1))

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(LOCK_S / 10):
            asked_at = time.monotonic()
            try:
                if not self._change(self._mine()):
                    self._until = 0.0
                    return
                self._until = asked_at + LOCK_S
            except UniaudioError as error:
                log.warning("lock: %s", error)


def current_epoch(files: Files, path: str) -> int:
    """Epoch of the lock, once nobody holds it exclusively."""
    deadline, silence = time.monotonic() + LOCK_TIMEOUT_S, Silence()
    while True:
        state, _ = read_state(files, path)
        if not any(holder.exclusive and not is_over(name, holder, silence) for name, holder in state.holders.items()):
            return state.epoch
        if time.monotonic() > deadline:
            raise StoreError(f"{files.root}/{path}: somebody has held this lock for {LOCK_TIMEOUT_S:.0f} s.")
        time.sleep(random.uniform(0.05, 0.25))


def is_over(name: str, holder: Holder, silence: Silence) -> bool:
    lives = process_lives(holder.process)
    if lives is not None:
        return not lives
    return holder.expires_at + CLOCKS_S < time.time() or silence.seconds(name, holder) > LOCK_S


def read_state(files: Files, path: str) -> tuple[LockState, Seen | None]:
    where = f"{files.root}/{path}"
    state = files.load(path, lambda seen: (from_json(LockState, seen.data, where), seen))
    return state or (LockState(), None)
