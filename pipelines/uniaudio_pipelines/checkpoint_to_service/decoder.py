"""Decodes uploads in a process of its own, which `uploads` starts: a file that keeps a decoder busy, or ends it, takes nothing else along.

Reads    from standard input a line of JSON and the file:   {"name": "clip.ogg", "most_s": 120.0, "cpu_s": 14.0, "num_bytes": 31751}
Writes   to standard output a line of JSON and `[C, N]` float32:
         {"rate": 48000, "channels": 1, "num_samples": 96000, "mono_channel": null, "cpu_s": 0.004}
         or {"error": "TooLargeError", "sentence": "…", "cpu_s": 0.01}

The system ends the process where a file takes more than `cpu_s` seconds of a processor, and gives it no more than `MOST_BYTES` of memory
beside what it began with.
"""

import io
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError, UniaudioError

from uniaudio.audio.container import lay_out
from uniaudio.audio.frames import SAMPLE_RATE, UNIT
from uniaudio.audio.levels import Levels, mono_channel
from uniaudio.audio.read import probe, read_blocks
from uniaudio_pipelines.checkpoint_to_service.asked import TooLargeError

MOST_VALUES_A_SECOND = 2 * 192_000
"""Samples of all channels: stereo at 192 kHz, or 16 channels at 24 kHz."""

MOST_BYTES = 1 << 30
"""Memory of one decoder beside what its libraries take: two minutes of the most samples are 176 MiB, once in blocks and once together."""

_OGG_BEGIN = b"OggS\0\2"
"""Where a stream of Ogg begins."""
MOST_ODD_RATE, ROUND_RATE = 96_000, 100
"""Hz. Changing a rate that has little in common with 24 kHz takes a filter for each sample, and the longer ones the higher it is."""


def decode(data: bytes, name: str, *, most_s: float) -> tuple[np.ndarray, dict[str, Any]]:
    """`[C, N]` float32 and what is said of them. DataError where `data` are no audio, `TooLargeError` where they are longer than `most_s`."""
    shown, suffix = PurePath(name).name or "audio", PurePath(name).suffix or None
    if not data:
        raise DataError(f"{shown}: is empty (0 bytes).")
    _check_parts(data, shown, suffix, most_s)
    rate = probe(data, suffix=suffix, name=shown).sample_rate
    if rate > MOST_ODD_RATE and rate % ROUND_RATE:
        raise DataError(
            f"{shown}: a sample rate above {MOST_ODD_RATE} Hz must be a multiple of {ROUND_RATE}, but is {rate}."
        )
    levels, blocks, num_samples, num_values = Levels(), [], 0, 0
    most_values = int(most_s * MOST_VALUES_A_SECOND)
    # Block by block: a small file may hold hours of silence, or 256 channels of it.
    for block in read_blocks(data, suffix=suffix, name=shown):
        levels.add(block)
        blocks.append(block)
        num_samples, num_values = num_samples + block.shape[1], num_values + block.size
        if num_samples > most_s * rate:
            raise TooLargeError(f"The audio of a request must be {most_s:g} seconds at most, but {shown} is longer.")
        if num_values > most_values:
            raise TooLargeError(
                f"{shown} must hold {most_values} samples at most, all channels together, but holds more."
            )
    if not num_samples:
        raise DataError(f"{shown}: must hold a sample or more, but holds none.")
    samples_CN = np.concatenate(blocks, axis=1)
    channels, num_samples = samples_CN.shape
    about = {"rate": rate, "channels": channels, "num_samples": num_samples, "mono_channel": mono_channel(levels)}
    return samples_CN, about


def _check_parts(data: bytes, shown: str, suffix: str | None, most_s: float) -> None:
    """A file may consist of a hundred thousand without a sample, each of which a decoder is opened for."""
    most = max(1, int(most_s * SAMPLE_RATE / UNIT))
    # Their marks first: to go from page to page takes seconds. A film has two streams at a time.
    is_chain = data.count(_OGG_BEGIN) > 2 * most
    if not is_chain:
        with io.BytesIO(data) as file:
            _, layout = lay_out(file, shown, (suffix or "").lower(), whole=True)
        is_chain = len(layout.parts) > most
    if is_chain:
        raise TooLargeError(f"{shown} must hold {most} streams at most, one behind the other, but holds more.")


def main() -> int:
    """Decodes one file after the other until standard input ends."""
    # Whoever stops the service stops the replica, which ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given, told = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # A library that prints says so to the log and not in between.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _bound_memory(MOST_BYTES)
    while line := given.readline():
        asked = json.loads(line)
        data, began_s = given.read(asked["num_bytes"]), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, asked["cpu_s"])
        samples_CN = np.zeros((0, 0), np.float32)
        try:
            samples_CN, about = decode(data, asked["name"], most_s=asked["most_s"])
        except UniaudioError as error:
            about = {"error": type(error).__name__, "sentence": str(error)}
        except MemoryError:
            sentence = f"{PurePath(asked['name']).name} takes more than {MOST_BYTES >> 20} MiB of memory to decode."
            about = {"error": TooLargeError.__name__, "sentence": sentence}
        signal.setitimer(signal.ITIMER_PROF, 0)
        about["cpu_s"] = time.process_time() - began_s
        told.write(json.dumps(about).encode() + b"\n")
        told.write(np.ascontiguousarray(samples_CN).data)
        told.flush()
    return 0


def _bound_memory(num_bytes: int) -> None:
    """Allows this process `num_bytes` of writable memory of its own (`RLIMIT_DATA`) beside what it holds. Systems that do not tell what it
    holds are left alone."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except OSError:
        return
    most = pages * resource.getpagesize() + num_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    sys.exit(main())
