"""A process that encodes clips at debug size and prints, for each, a hash of its codes and hidden states.

python encode_worker.py clips.npz 3 1 2
python encode_worker.py --folder FOLDER --mode alone|mixed [--codes 1000000] [--model DIR]
"""

import argparse
import hashlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio.audio.frames import num_reasoning_frames, num_reconstruction_frames
from uniaudio.audio.read import audio_suffixes, read_audio
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.encoding import encode_clips
from uniaudio.codec.windows import check_clip, num_samples_24k
from uniaudio.testing import tiny_codec

BATCH_SIZES = (1, 2, 7, 32)
# Eight times 90 ms are eight different places in frames of 80 and of 200 ms.
PASS_S, MAX_PASSES = 0.09, 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--mode", choices=("alone", "mixed"), default="alone")
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--model", help="a codec's folder; an untrained one of debug size if not given")
    options = parser.parse_args()
    codec = ReasoningCodec.load(options.model) if options.model else tiny_codec()
    if options.folder:
        _folder(codec, options.folder, options.mode, options.codes)
        return
    path, *chosen = options.clips
    with np.load(path) as clips:
        waveforms = [clips[f"arr_{index}"] for index in chosen]
    for index, digest in zip(chosen, _digests(codec, waveforms, 24_000), strict=True):
        print(index, digest)


class Cut(NamedTuple):
    """A file from one of its samples to its end."""

    path: Path
    sample_rate: int
    first_sample: int

    def waveform(self) -> np.ndarray:
        return read_audio(self.path).samples[:, self.first_sample :]


def _folder(codec: ReasoningCodec, folder: Path, mode: str, num_codes: int) -> None:
    """Clips until there are `num_codes` codes. `mixed`: in random order, in batches of 1, 2, 7, 32 of one rate."""
    chosen, total, samples = list[Cut](), 0, 0
    for cut, length in _cuts(folder):
        total += 8 * (num_reasoning_frames(length) + num_reconstruction_frames(length))
        samples += length
        chosen.append(cut)
        if total >= num_codes:
            break
    print("codes", total)
    print("clips", len(chosen))
    print("files", len({cut.path for cut in chosen}))
    print("seconds", samples // 24_000)
    for batch in _batches(chosen, mode):
        waveforms = [cut.waveform() for cut in batch]
        for cut, digest in zip(batch, _digests(codec, waveforms, batch[0].sample_rate), strict=True):
            print(f"{cut.path}:{cut.first_sample}", digest)


def _cuts(folder: Path) -> Iterator[tuple[Cut, int]]:
    """Every file, and its samples at 24 kHz; then every file that is long enough without its first 90 ms, then 180 ms, so
    that a small corpus gives many codes: no frame begins where another does."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio_suffixes())
    for number in range(MAX_PASSES):
        for path in files:
            try:
                audio = read_audio(path)
            except DataError:  # an empty recording among the real ones
                continue
            first = round(number * PASS_S * audio.sample_rate)
            if first < audio.samples.shape[1]:
                checked = check_clip(audio.samples[:, first:], 0)
                yield Cut(path, audio.sample_rate, first), num_samples_24k(checked, audio.sample_rate)


def _batches(chosen: list[Cut], mode: str) -> Iterator[list[Cut]]:
    if mode == "alone":
        yield from ([clip] for clip in chosen)
        return
    random.Random(0).shuffle(chosen)
    chosen.sort(key=lambda cut: cut.sample_rate)
    for _, same_rate in itertools.groupby(chosen, key=lambda cut: cut.sample_rate):
        left = list(same_rate)
        for size in itertools.cycle(BATCH_SIZES):
            if not left:
                break
            yield left[:size]
            left = left[size:]


def _digests(codec: ReasoningCodec, waveforms: list[np.ndarray], sample_rate: int) -> list[str]:
    checked = [check_clip(waveform, index) for index, waveform in enumerate(waveforms)]
    encoded = encode_clips(codec, checked, sample_rate=sample_rate, keep_hidden=True)
    return [hashlib.sha256(b"".join(part.numpy().tobytes() for part in clip)).hexdigest() for clip in encoded]


if __name__ == "__main__":
    main()
