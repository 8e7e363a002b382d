"""Audio of a request: bytes of any format in, `[N]` float32 mono at 24 kHz out. `decoder` decodes, in a process of its own."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.read import Audio
from uniaudio.audio.render import to_mono_24k
from uniaudio_pipelines.checkpoint_to_service.asked import TooLargeError

_MODULE = "uniaudio_pipelines.checkpoint_to_service.decoder"
_MOST_NAME = 200
"""Characters of a name, from its end, where its suffix stands."""
_LEAST_CPU_S = 2.0
_CPU_S_A_SECOND = 0.1
"""A tenth of the time that the audio lasts: the slowest of ordinary formats take a hundredth."""
_MEANT = {error.__name__: error for error in (TooLargeError, DataError, UsageError)}


@dataclass(slots=True)
class DecodingTime:
    """What is left of the time that the clips of one request may take to decode."""

    left_s: float
    """Seconds of a processor."""

    @classmethod
    def of(cls, most_s: float) -> "DecodingTime":
        """The time for `most_s` seconds of audio."""
        return cls(_LEAST_CPU_S + _CPU_S_A_SECOND * most_s)


def read_upload(data: bytes, name: str, *, most_s: float, time: DecodingTime | None = None) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz of an uploaded file, known by its contents. DataError where it is no audio, `TooLargeError` where
    it is longer than `most_s` or takes longer to decode than what is left of `time`.
    """
    time = time or DecodingTime.of(most_s)
    samples_CN, about = _DECODER.decode(data, name[-_MOST_NAME:], most_s, max(time.left_s, 0.001))
    time.left_s -= about["cpu_s"]
    return to_mono_24k(Audio(samples=samples_CN, sample_rate=about["rate"]), about["mono_channel"])


class _Decoder:
    """The process that decodes, one file at a time; started when it is needed, and again when it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def decode(self, data: bytes, name: str, most_s: float, cpu_s: float) -> tuple[np.ndarray, dict[str, Any]]:
        asked = {"name": name, "most_s": most_s, "cpu_s": cpu_s, "num_bytes": len(data)}
        with self._lock:
            process = self._running()
            try:
                samples_CN, about = _exchange(process, asked, data)
            except (OSError, EOFError) as error:
                self._end()
                if process.returncode == -signal.SIGPROF:
                    raise TooLargeError(
                        f"The audio of a request must be decoded sooner, but {name} takes long."
                    ) from error
                raise DataError(f"{name}: is not an audio file that can be read: it ends its decoder.") from error
            except BaseException:
                # What it still has to say would be taken for the next answer.
                self._end()
                raise
        if "error" in about:
            raise _MEANT.get(about["error"], DataError)(about["sentence"])
        return samples_CN, about

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            # What this process may import, which Ray may have added to, and nothing beside it.
            paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
            environment = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
            command, pipe = [sys.executable, "-m", _MODULE], subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            # What could not be written any more is written once more.
            with suppress(OSError):
                assert pipe is not None, "the process was started with pipes"
                pipe.close()


_DECODER = _Decoder()
atexit.register(_DECODER.close)


def _exchange(
    process: "subprocess.Popen[bytes]", asked: dict[str, Any], data: bytes
) -> tuple[np.ndarray, dict[str, Any]]:
    """What the process answers. EOFError or OSError where it has ended."""
    assert process.stdin is not None and process.stdout is not None, "the process was started with pipes"
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.write(data)
    process.stdin.flush()
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    about = json.loads(line)
    if "error" in about:
        return np.zeros((0, 0), np.float32), about
    samples_CN = np.empty((about["channels"], about["num_samples"]), np.float32)
    if process.stdout.readinto(samples_CN.reshape(-1).view(np.uint8).data) < samples_CN.nbytes:  # type: ignore[attr-defined]
        raise EOFError
    return samples_CN, about
