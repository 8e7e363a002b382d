"""How the cost of finding copies grows with the number of clips, how fast landmarks are made, and what is found on real
audio.

    UNIAUDIO_BENCH_CLIPS=1000,10000,100000 make bench
    UNIAUDIO_STARTER=FOLDER make bench     # a folder of audio files; `UNIAUDIO_BENCH_PLANTED` (300) of them are copied

Growth is measured on made-up landmarks: of each clip three quarters are its own, and a quarter comes from 5,000 that all clips
draw from, as of hum, drum samples and one voice. Recall is measured on copies of the files' first 30 s, made with the
encoders that PyAV and libsndfile have. False alarms are measured on what fades, no two of which are alike: noise, chimes and beeps of other
pitches.
"""

import io
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_pipelines.copies import find_copies
from uniaudio_pipelines.running.metering import usage
from uniaudio_schemas.errors import DataError

from uniaudio.audio.landmarks import landmarks
from uniaudio.audio.read import audio_suffixes, read_audio
from uniaudio.audio.resample import resample

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7_200)]

SIZES = [int(size) for size in os.environ.get("UNIAUDIO_BENCH_CLIPS", "1000,10000,100000").split(",")]
PER_CLIP, COMMON, BATCH = 64, 5_000, 1_000
CLASSES_S = (0.5, 1, 2, 5)
Audio = tuple[np.ndarray, int]


def made_up_clips(num_clips: int) -> Iterator[pa.Table]:
    """Every hundredth clip is a copy of the one before it that shares 40 % of its landmarks, 0.2 s later."""
    rng = np.random.default_rng(0)
    common = rng.integers(0, 2**39, COMMON)
    for start in range(0, num_clips, BATCH):
        size = min(BATCH, num_clips - start)
        hashes = rng.integers(0, 2**39, (size, PER_CLIP))
        shared = rng.random(hashes.shape) < 0.25
        hashes[shared] = common[(COMMON * rng.random(int(shared.sum())) ** 2).astype(int)]
        frames = rng.integers(0, 400, hashes.shape)
        kept = rng.random((len(hashes[99::100]), PER_CLIP)) < 0.4
        hashes[99::100] = np.where(kept, hashes[98::100], hashes[99::100])
        frames[99::100] = np.where(kept, frames[98::100] + 25, frames[99::100])
        values = pa.array((hashes << 24 | frames).ravel())
        offsets = pa.array(np.arange(0, size * PER_CLIP + 1, PER_CLIP, dtype=np.int32))
        names = [f"{number:09d}" for number in range(start, start + size)]
        duration = rng.uniform(1, 5, size)
        duration[99::100] = duration[98::100] + 0.2
        lists = pa.ListArray.from_arrays(offsets, values)
        yield pa.table({"clip_id": names, "duration_s": duration, "landmarks": lists})


def test_ten_times_the_clips_cost_about_ten_times_as_much(tmp_path: Path) -> None:
    print(f"\n{'clips':>9} {'CPU s':>8} {'us a clip':>10} {'pairs':>7} {'found':>6} {'peak MiB':>9}")
    cost = {}
    for num_clips in SIZES:
        before = time.process_time()
        found = find_copies(made_up_clips(num_clips), folder=tmp_path)
        cost[num_clips] = (time.process_time() - before) / num_clips
        right = sum(
            int(a) % 100 == 98 and int(b) == int(a) + 1
            for a, b in zip(*found.select(["id_a", "id_b"]).to_pydict().values(), strict=True)
        )
        pairs, peak = f"{found.num_rows:7d} {right * 100 / num_clips:6.3f}", usage().peak_memory_bytes >> 20
        print(f"{num_clips:9d} {cost[num_clips] * num_clips:8.1f} {cost[num_clips] * 1e6:10.0f} {pairs} {peak:9d}")
        # More votes are needed among more clips, so that a few more copies are missed.
        assert found.num_rows == right and right >= 0.98 * (num_clips // 100)

    assert cost[SIZES[-1]] < 3 * cost[SIZES[-2]]


def test_landmarks_are_made_much_faster_than_the_audio_is_decoded() -> None:
    samples_N = np.random.default_rng(0).standard_normal(8_000 * 120).astype(np.float32)
    landmarks(samples_N, 8_000)
    before = time.process_time()
    landmarks(samples_N, 8_000)
    print(f"\n{120 / (time.process_time() - before):.0f} times real time on one core, 8 kHz")


def encoded(audio: Audio, format_name: str, codec: str, bit_rate: int, rates: tuple[int, ...]) -> Audio:
    import av

    samples_N, sample_rate = audio
    rate = min((rate for rate in rates if rate >= min(sample_rate, max(rates))), default=max(rates))
    samples_N = np.ascontiguousarray(resample(samples_N, sample_rate, rate))
    file = io.BytesIO()
    with av.open(file, "w", format=format_name) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples_N[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for converted in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(converted))
    file.seek(0)
    with av.open(file) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono")
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate(parts), container.streams.audio[0].codec_context.sample_rate


def vorbis(audio: Audio) -> Audio:
    import soundfile

    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", audio[1], 1, format="OGG", subtype="VORBIS", compression_level=0.7) as writer:
        for first in range(0, audio[0].size, 4_096):  # libsndfile overflows its stack on long blocks
            writer.write(audio[0][first : first + 4_096])
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def mu_law(audio: Audio) -> Audio:
    samples_N = np.clip(resample(*audio, 8_000), -1, 1)
    steps_N = np.rint(np.sign(samples_N) * np.log1p(255 * np.abs(samples_N)) / np.log(256) * 127) / 127
    return (np.sign(steps_N) * np.expm1(np.abs(steps_N) * np.log(256)) / 255).astype(np.float32), 8_000


def noisy(audio: Audio) -> Audio:
    noise_N = np.random.default_rng(audio[0].size).standard_normal(audio[0].size) * np.std(audio[0]) * 10 ** (-30 / 20)
    return (audio[0] + noise_N).astype(np.float32), audio[1]


def trimmed(audio: Audio, *, start: bool, end: bool) -> Audio:
    samples_N, sample_rate = audio
    cuts = (np.random.default_rng(samples_N.size).uniform(0.1, 0.5, 2) * sample_rate).astype(int)
    return samples_N[cuts[0] * start : samples_N.size - cuts[1] * end], sample_rate


LOW = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
WAYS: dict[str, Callable[[Audio], Audio]] = {
    "mp3 64k": lambda audio: encoded(audio, "mp3", "libmp3lame", 64_000, LOW),
    "aac 64k": lambda audio: encoded(audio, "adts", "aac", 64_000 if audio[1] >= 16_000 else 32_000, LOW),
    "opus 24k": lambda audio: encoded(audio, "ogg", "libopus", 24_000, (48_000,)),
    "vorbis": vorbis,
    "mu-law 8 kHz": mu_law,
    "16 kHz": lambda audio: (resample(*audio, 16_000), 16_000),
    "44.1 kHz": lambda audio: (resample(*audio, 44_100), 44_100),
    "-6 dB": lambda audio: (audio[0] / 2, audio[1]),
    "+3 dB, clipped": lambda audio: (np.clip(audio[0] * np.float32(1.41), -1, 1), audio[1]),
    "1 % faster": lambda audio: (resample(audio[0], 101, 100), audio[1]),
    "1 % slower": lambda audio: (resample(audio[0], 99, 100), audio[1]),
    "noise at 30 dB": noisy,
    "start trimmed": lambda audio: trimmed(audio, start=True, end=False),
    "end trimmed": lambda audio: trimmed(audio, start=False, end=True),
    "both trimmed": lambda audio: trimmed(audio, start=True, end=True),
}


def row(name: str, audio: Audio) -> dict[str, object]:
    values = landmarks(*audio)
    return {"clip_id": name, "duration_s": audio[0].size / audio[1], "landmarks": values.tolist()}


def as_table(rows: list[dict[str, object]]) -> pa.Table:
    kinds = [("clip_id", pa.string()), ("duration_s", pa.float64()), ("landmarks", pa.list_(pa.int64()))]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def fades(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """100 noises, 90 chimes and 60 beeps at 8 kHz; pitches are a 30th of an octave apart, so that 1 % of speed makes none of another."""
    pitches = 110 * 2 ** (rng.permutation(150) / 30)
    for number in range(100):
        noise_N = rng.standard_normal(int(rng.uniform(0.5, 4) * 8_000))
        spectrum = np.fft.rfft(noise_N) * np.arange(1, noise_N.size // 2 + 2) ** rng.choice([0.0, -0.5, -1.0])
        noise_N = np.fft.irfft(spectrum, noise_N.size)
        decay_s = np.exp(rng.uniform(np.log(0.05), 0))
        yield f"noise {number}", noise_N / np.abs(noise_N).max() * np.exp(-np.arange(noise_N.size) / 8_000 / decay_s)
    for number, pitch in enumerate(pitches[:90]):
        decay_s = np.exp(rng.uniform(np.log(0.05), 0))
        time_s = np.arange(int(min(5 * decay_s + 0.1, 3) * 8_000)) / 8_000
        partials = range(1, rng.integers(2, 5))
        waves = (
            rng.uniform(0.1, 1) ** k * np.sin(2 * np.pi * pitch * k * time_s) for k in partials if pitch * k < 3_900
        )
        yield f"chime {number} {pitch:.0f} Hz", sum(waves) * np.exp(-time_s / decay_s)
    for number, pitch in enumerate(pitches[90:]):
        time_s = np.arange(int(rng.uniform(0.1, 1) * 8_000)) / 8_000
        edges_N = np.minimum(1, np.minimum(time_s, time_s[::-1]) / rng.uniform(0.005, 0.05))
        yield f"beep {number} {pitch:.0f} Hz", edges_N * np.sin(2 * np.pi * pitch * time_s)


def test_sounds_that_fade_are_rarely_joined(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    clips = [
        (name, (0.3 * samples_N + 1e-5 * rng.standard_normal(samples_N.size)).astype(np.float32))
        for name, samples_N in fades(rng)
    ]
    found = find_copies([as_table([row(name, (samples_N, 8_000)) for name, samples_N in clips])], folder=tmp_path)
    num_pairs = len(clips) * (len(clips) - 1) // 2
    print(f"\n{len(clips)} sounds that fade: {found.num_rows} of {num_pairs} pairs are joined")
    for pair in found.to_pylist():
        print(f"  {pair['votes']:4d} {pair['score']:.2f} {pair['overlap']:.2f}  {pair['id_a']}  {pair['id_b']}")
    assert found.num_rows < 0.001 * num_pairs


@pytest.mark.skipif("UNIAUDIO_STARTER" not in os.environ, reason="UNIAUDIO_STARTER names no folder of audio files")
def test_planted_copies_of_real_recordings_are_found(tmp_path: Path) -> None:
    folder = Path(os.environ["UNIAUDIO_STARTER"])
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio_suffixes() and path.is_file())
    by_chance = sorted(files, key=lambda path: zlib.crc32(str(path.relative_to(folder)).encode()))
    planted = set(by_chance[: int(os.environ.get("UNIAUDIO_BENCH_PLANTED", "300"))])
    corpus, copies = [], []
    for path in files:
        try:
            name, read = str(path.relative_to(folder)), read_audio(path)
        except DataError:
            continue  # such as a file of no sample
        audio = read.samples.mean(axis=0), read.sample_rate
        corpus.append(row(name, audio))
        if path in planted:
            start = audio[0][: 30 * audio[1]], audio[1]
            ways = [way for way in WAYS if "trimmed" not in way or start[0].size > start[1]]
            copies += [row(f"{name}\t{way}", WAYS[way](start)) for way in ways]
    among = find_copies([as_table(corpus)], folder=tmp_path)
    found = find_copies([as_table(copies)], [as_table(corpus)], folder=tmp_path)
    partners = {(a, b) for a, b in zip(found["id_a"].to_pylist(), found["id_b"].to_pylist(), strict=True)}
    counts: dict[str, list[bool]] = defaultdict(list)
    for copy in copies:
        name, way = str(copy["clip_id"]).split("\t")
        longer = next((f"< {limit} s" for limit in CLASSES_S if copy["duration_s"] < limit), "longer")
        for group in (way, longer, "all"):
            counts[group].append((copy["clip_id"], name) in partners)
    print(f"\n{len(corpus)} files, {among.num_rows} pairs among them:")
    for pair in among.sort_by("votes").to_pylist():
        print(f"  {pair['votes']:4d} {pair['score']:.2f} {pair['overlap']:.2f}  {pair['id_a']}  {pair['id_b']}")
    for group, hits in counts.items():
        print(f"  {group:16s} {np.mean(hits):.3f} of {len(hits)}")
    long_enough = [hit for group in ("< 2 s", "< 5 s", "longer") for hit in counts[group]]
    assert np.mean(long_enough) > 0.9
