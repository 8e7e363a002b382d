"""Audio of training clips that is decoded when it is needed, by threads, and kept within a bound.

    audio = AudioCache(1 << 30)
    samples = StoredSamples(audio, "5f1c…", decode, num_samples=69_105, digest="77ab…")
    samples[:24_000].read_ahead()        # a thread decodes the clip
    np.asarray(samples[:24_000])         # waits for it, or finds it kept

Threads have neither the precision nor the modes of the one that trains, so that samples are the same whenever they are decoded.
"""

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_bytes

DEFAULT_BYTES = 1 << 30
"""Three hours of audio."""
SAMPLE_BYTES = 4
MAX_READERS = 8

Decode = Callable[[], np.ndarray]


def num_readers() -> int:
    """Threads that decode beside the one that trains: half of this rank's share of the cores."""
    num_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MAX_READERS, (os.cpu_count() or 1) // (2 * num_ranks)))


class AudioCache:
    """Decoded clips by name: those used last, at most `max_bytes`. A clip is decoded once, however many ask for it meanwhile."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        """Bytes of clips that are kept or being decoded."""
        self.readers = ThreadPoolExecutor(num_readers(), thread_name_prefix="audio")
        self._kept: OrderedDict[str, tuple[Future[np.ndarray], int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, num_samples: int, decode: Decode) -> "Future[np.ndarray]":
        """The clip's `[num_samples]` float32, decoded where it is not kept."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name][0]
            future = self.readers.submit(decode)
            self._keep(name, future, num_samples * SAMPLE_BYTES)
        return future

    def put(self, name: str, samples: np.ndarray) -> None:
        """A clip that was decoded for another reason."""
        future: Future[np.ndarray] = Future()
        future.set_result(samples)
        with self._lock:
            if name not in self._kept:
                self._keep(name, future, samples.nbytes)

    def _keep(self, name: str, future: "Future[np.ndarray]", num_bytes: int) -> None:
        self._kept[name] = (future, num_bytes)
        self.num_bytes += num_bytes
        while self.num_bytes > self.max_bytes:
            self.num_bytes -= self._kept.popitem(last=False)[1][1]


class StoredSamples:
    """Samples `[N]` float32 at 24 kHz of a clip, or of a piece of it, that are decoded when they are needed: for `len`, slices and
    `np.asarray` an array."""

    dtype = np.dtype(np.float32)

    def __init__(self, audio: AudioCache, name: str, decode: Decode, *, num_samples: int, digest: str) -> None:
        self.audio, self.digest = audio, digest
        """Hash of the samples' bytes; of a piece, that of the clip and its place."""
        self._name, self._decode, self._num_samples, self._whole_digest = name, decode, num_samples, digest
        self._piece = slice(0, num_samples)

    def __len__(self) -> int:
        return self._piece.stop - self._piece.start

    def __getitem__(self, piece: slice) -> "StoredSamples":
        first, last, _ = piece.indices(len(self))
        start, stop = self._piece.start + first, self._piece.start + max(first, last)
        samples = copy.copy(self)
        samples._piece, samples.digest = slice(start, stop), f"{self._whole_digest} {start}:{stop}"
        return samples

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        samples: np.ndarray = self.read_ahead().result()[self._piece]
        return samples.astype(dtype or samples.dtype, copy=bool(copy))

    @property
    def clip_bytes(self) -> int:
        """Bytes of the whole clip once it is decoded."""
        return self._num_samples * SAMPLE_BYTES

    def read_ahead(self) -> "Future[np.ndarray]":
        """The whole clip, which a thread decodes where it is not kept."""
        return self.audio.get(self._name, self._num_samples, self._decoded)

    def _decoded(self) -> np.ndarray:
        samples = self._decode()
        if (digest := digest_of(samples)) != self._whole_digest:
            raise DataError(f"clip {self._name}: its audio is {digest[:8]} now, but was {self._whole_digest[:8]}.")
        return samples


def digest_of(samples: "np.ndarray | StoredSamples") -> str:
    """Hash of the samples' bytes, without reading those that have it."""
    return samples.digest if isinstance(samples, StoredSamples) else hash_bytes(np.ascontiguousarray(samples).tobytes())
