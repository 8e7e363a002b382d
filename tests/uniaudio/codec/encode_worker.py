"""A process that encodes clips at debug size and prints, for each, a hash of its codes and hidden states.

python encode_worker.py clips.npz 3 1 2
python encode_worker.py --folder FOLDER --mode alone|mixed [--codes 1000000]
"""

import argparse
import hashlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio.audio.frames import num_reasoning_frames, num_reconstruction_frames
from uniaudio.audio.read import audio_suffixes, read_audio
from uniaudio.codec.encoding import encode_clips
from uniaudio.codec.windows import check_clip, num_samples_24k
from uniaudio.testing import tiny_codec

BATCH_SIZES = (1, 2, 7, 32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--mode", choices=("alone", "mixed"), default="alone")
    parser.add_argument("--codes", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.folder:
        _folder(options.folder, options.mode, options.codes)
        return
    path, *chosen = options.clips
    with np.load(path) as clips:
        waveforms = [clips[f"arr_{index}"] for index in chosen]
    for index, digest in zip(chosen, _digests(waveforms, 24_000), strict=True):
        print(index, digest)


def _folder(folder: Path, mode: str, num_codes: int) -> None:
    """Clips until there are `num_codes` codes. `mixed`: in random order, in batches of 1, 2, 7, 32 of one rate."""
    chosen: list[tuple[Path, int]] = []
    total, samples = 0, 0
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio_suffixes()):
        try:
            audio = read_audio(path)
        except DataError:  # an empty recording among the real ones
            continue
        length = num_samples_24k(check_clip(audio.samples, 0), audio.sample_rate)
        total += 8 * (num_reasoning_frames(length) + num_reconstruction_frames(length))
        samples += length
        chosen.append((path, audio.sample_rate))
        if total >= num_codes:
            break
    print("codes", total)
    print("clips", len(chosen))
    print("seconds", samples // 24_000)
    for batch in _batches(chosen, mode):
        waveforms = [read_audio(path).samples for path, _ in batch]
        for (path, _), digest in zip(batch, _digests(waveforms, batch[0][1]), strict=True):
            print(path, digest)


def _batches(chosen: list[tuple[Path, int]], mode: str) -> Iterator[list[tuple[Path, int]]]:
    if mode == "alone":
        yield from ([clip] for clip in chosen)
        return
    random.Random(0).shuffle(chosen)
    chosen.sort(key=lambda clip: clip[1])
    for _, same_rate in itertools.groupby(chosen, key=lambda clip: clip[1]):
        left = list(same_rate)
        for size in itertools.cycle(BATCH_SIZES):
            if not left:
                break
            yield left[:size]
            left = left[size:]


def _digests(waveforms: list[np.ndarray], sample_rate: int) -> list[str]:
    checked = [check_clip(waveform, index) for index, waveform in enumerate(waveforms)]
    encoded = encode_clips(tiny_codec(), checked, sample_rate=sample_rate, keep_hidden=True)
    return [hashlib.sha256(b"".join(part.numpy().tobytes() for part in clip)).hexdigest() for clip in encoded]


if __name__ == "__main__":
    main()
