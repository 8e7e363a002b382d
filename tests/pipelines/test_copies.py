from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_pipelines import copies
from uniaudio_pipelines.copies import CopySearch, clusters, find_copies
from uniaudio_schemas.errors import UsageError

from uniaudio.audio import landmarks as fingerprint
from uniaudio.audio.envelopes import is_envelope
from uniaudio.audio.landmarks import landmarks
from uniaudio.audio.resample import resample

RATE = 8_000


def a_voice(seed: int) -> dict[str, np.ndarray]:
    """What a speaker always says alike: pitch (Hz) and the formants of each of 20 sounds."""
    rng = np.random.default_rng([1, seed])
    return {
        "pitch": rng.uniform(90, 230),
        "formants": np.stack([rng.uniform(250, 900, 20), rng.uniform(900, 2_900, 20)]),
    }


def say(voice: dict[str, np.ndarray], sounds: list[int], take: int) -> np.ndarray:
    """One take of a sentence: durations, loudness and melody are never twice the same."""
    rng = np.random.default_rng([2, take])
    lengths = np.rint(rng.uniform(0.09, 0.2, len(sounds)) * RATE).astype(int)
    num_samples = lengths.sum()
    melody_N = np.interp(np.arange(num_samples), np.cumsum(lengths), rng.uniform(0.85, 1.2, len(sounds)))
    pitch_N = voice["pitch"] * melody_N
    phase_N = 2 * np.pi * np.cumsum(pitch_N) / RATE
    formants_2N = np.repeat(voice["formants"][:, sounds], lengths, axis=1)
    in_sound_N = np.concatenate([np.linspace(0, 1, length) for length in lengths])
    loudness_N = np.repeat(rng.uniform(0.2, 1, len(sounds)), lengths) * np.sin(np.pi * in_sound_N) ** 0.3
    voiced_N = sum(
        np.sin(k * phase_N) * np.exp(-(((k * pitch_N - formants_2N) / 160) ** 2)).sum(axis=0) for k in range(1, 20)
    )
    return (0.1 * loudness_N * voiced_N + 1e-4 * rng.standard_normal(num_samples)).astype(np.float32)


def chords(seed: int, duration_s: float) -> np.ndarray:
    """Five chords a second of three notes of one scale, plucked by hand: pieces share their notes, not their order."""
    rng = np.random.default_rng([3, seed])
    music_N = np.zeros(round(duration_s * RATE) + 2 * RATE)
    time_s = np.arange(RATE) / RATE
    for start in range(0, round(duration_s * RATE), RATE // 5):
        for pitch in 110 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11], 3) / 12 + rng.integers(0, 3, 3)):
            partials = sum(np.sin(2 * np.pi * pitch * k * time_s) / k for k in range(1, 6))
            late = rng.integers(0, 400)  # 50 ms: no two players strike alike
            music_N[start + late : start + late + RATE] += partials * np.exp(-8 * time_s) * rng.uniform(0.02, 0.1)
    return music_N[: round(duration_s * RATE)].astype(np.float32)


def bursts(seed: int, duration_s: float) -> np.ndarray:
    """Noise in bands, struck at random: a sound effect."""
    rng = np.random.default_rng([4, seed])
    effect_N = np.zeros(round(duration_s * RATE))
    for start in rng.integers(0, effect_N.size - 800, max(3, round(9 * duration_s))):
        length = min(rng.integers(800, 3_000), effect_N.size - start)
        spectrum = np.fft.rfft(rng.standard_normal(length))
        frequency = np.fft.rfftfreq(length, 1 / RATE)
        spectrum *= np.exp(-(((frequency - rng.uniform(200, 3_000)) / 300) ** 2))
        effect_N[start : start + length] += np.fft.irfft(spectrum, length) * np.exp(-np.arange(length) / 600) * 0.5
    return effect_N.astype(np.float32)


def a_corpus(num_each: int) -> dict[str, np.ndarray]:
    """Sentences of three voices, music and effects of 0.6 to 4 s."""
    rng = np.random.default_rng(0)
    voices = [a_voice(seed) for seed in range(3)]
    corpus = {}
    for number in range(num_each):
        sounds = rng.integers(0, 20, rng.integers(6, 20)).tolist()
        corpus[f"speech{number}"] = say(voices[number % 3], sounds, number)
        corpus[f"music{number}"] = chords(number, rng.uniform(1.5, 4))
        corpus[f"sound{number}"] = bursts(number, rng.uniform(0.6, 3))
    return corpus


def noisy(samples_N: np.ndarray, seed: int = 0) -> np.ndarray:
    noise_N = np.random.default_rng([5, seed]).standard_normal(samples_N.size)
    return (samples_N + noise_N * np.std(samples_N) * 10 ** (-30 / 20)).astype(np.float32)


def mu_law(samples_N: np.ndarray) -> np.ndarray:
    steps_N = np.rint(np.sign(samples_N) * np.log1p(255 * np.abs(samples_N)) / np.log(256) * 127) / 127
    return (np.sign(steps_N) * np.expm1(np.abs(steps_N) * np.log(256)) / 255).astype(np.float32)


def note(pitch_hz: float, decay_s: float, duration_s: float, *, partials: int = 1) -> np.ndarray:
    """A chime: partials that fade together, at once from the start."""
    time_s = np.arange(round(duration_s * RATE)) / RATE
    waves = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k**2 for k in range(1, partials + 1))
    return (0.3 * waves * np.exp(-time_s / decay_s)).astype(np.float32)


def beep(pitch_hz: float, duration_s: float) -> np.ndarray:
    """As loud until it ends, with edges of 10 ms."""
    time_s = np.arange(round(duration_s * RATE)) / RATE
    edges_N = np.minimum(1, np.minimum(time_s, time_s[::-1]) / 0.01)
    return (0.3 * edges_N * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


def fading_noise(seed: int, decay_s: float, duration_s: float) -> np.ndarray:
    noise_N = np.random.default_rng([7, seed]).standard_normal(round(duration_s * RATE))
    return (0.2 * noise_N * np.exp(-np.arange(noise_N.size) / RATE / decay_s)).astype(np.float32)


COPIES = {
    "noise": noisy,
    "mu_law": mu_law,
    "quieter": lambda samples_N: samples_N / 2,
    "faster": lambda samples_N: resample(samples_N, 101, 100),
    "slower": lambda samples_N: resample(samples_N, 99, 100),
    "trimmed": lambda samples_N: samples_N[(1_037 if samples_N.size > RATE else 100) :],
}


def table(clips: dict[str, np.ndarray]) -> pa.Table:
    values = [landmarks(samples_N, RATE) for samples_N in clips.values()]
    return pa.table(
        {
            "clip_id": list(clips),
            "duration_s": [samples_N.size / RATE for samples_N in clips.values()],
            "landmarks": pa.array(values, pa.list_(pa.int64())),
        }
    )


def clip(name: str, num_shared: int, envelope: np.ndarray) -> dict[str, object]:
    """40 landmarks of its own, and some that all such clips share."""
    rng = np.random.default_rng([8, *name.encode()])
    own, shared = rng.integers(0, 2**39, 40), np.arange(1, num_shared + 1) * 7_919
    frames = np.concatenate([np.sort(rng.integers(0, 200, 40)), 20 * np.arange(num_shared)])
    values = np.concatenate([np.concatenate([own, shared]) << 24 | frames, envelope])
    return {"clip_id": name, "duration_s": 2.0, "landmarks": np.sort(values).tolist()}


def pairs_of(found: pa.Table) -> set[tuple[str, str]]:
    return set(zip(found["id_a"].to_pylist(), found["id_b"].to_pylist(), strict=True))


@pytest.mark.slow
def test_copies_of_generated_speech_music_and_effects_are_found_and_nothing_else(tmp_path: Path) -> None:
    originals = a_corpus(25)
    copied = {f"{name}+{way}": copy(samples_N) for name, samples_N in originals.items() for way, copy in COPIES.items()}
    assert find_copies([table(originals)], folder=tmp_path).num_rows == 0
    found = pairs_of(find_copies([table(copied)], [table(originals)], folder=tmp_path))
    wanted = {(name, name.split("+")[0]) for name in copied}
    assert found <= wanted
    missed = sorted(copy for copy, _ in wanted - found)
    assert len(missed) <= 0.01 * len(wanted), missed


def silence(duration_s: float) -> np.ndarray:
    return np.zeros(round(duration_s * RATE), np.float32)


TONES = {
    "beep": beep(440, 0.4),
    "warning": np.concatenate([beep(1_000, 0.15), silence(0.1), beep(1_000, 0.15), silence(0.4)]),
    "chime": note(1_320, 0.3, 1.2),
    "doorbell": np.concatenate([note(660, 0.15, 0.4), note(524, 0.2, 0.9)]),
    "two partials": note(250, 0.2, 0.8, partials=2),
    "knock": np.concatenate([silence(0.1), note(880, 0.012, 0.3)]),
}


def test_beeps_and_chimes_have_too_few_peaks_and_are_found_by_their_tones(tmp_path: Path) -> None:
    copied = {f"{name}+{way}": copy(samples_N) for name, samples_N in TONES.items() for way, copy in COPIES.items()}
    found = pairs_of(find_copies([table(copied)], [table(TONES)], folder=tmp_path))
    wanted = {(name, name.split("+")[0]) for name in copied}
    # A lone note that is cut has lost its attack, and fades like any other.
    assert found <= wanted and wanted - found <= {("chime+trimmed", "chime")}
    without = table(copied)
    peaks = [[value for value in values if value >= 0] for values in without["landmarks"].to_pylist()]
    without = without.set_column(2, "landmarks", pa.array(peaks, pa.list_(pa.int64())))
    assert len(pairs_of(find_copies([without], [table(TONES)], folder=tmp_path))) < 0.1 * len(wanted)


def test_sounds_that_fade_are_no_copies_of_each_other(tmp_path: Path) -> None:
    fades = {f"noise{seed}": fading_noise(seed, 0.1 * 1.5**seed, 1.0) for seed in range(5)}
    fades |= {f"note{number}": note(440, 0.05 * 2.2**number, 1.5) for number in range(4)}
    fades |= {f"other pitch{number}": note(440 * 2 ** (number / 12), 0.2, 1.0) for number in range(1, 4)}
    fades |= {f"beep{number}": beep(440, 0.1 * 2**number) for number in range(4)}
    fades |= {f"chord{seed}": chords(seed, 1.5) * np.linspace(1, 0, 12_000, dtype=np.float32) for seed in range(4)}
    assert pairs_of(find_copies([table(fades)], folder=tmp_path)) == set()


def test_copies_are_found_in_one_corpus_and_nothing_else(tmp_path: Path) -> None:
    corpus = a_corpus(4)
    for name, way in zip(list(corpus), COPIES, strict=False):
        corpus[f"{name}+{way}"] = COPIES[way](corpus[name])
    wanted = {(copy.split("+")[0], copy) for copy in corpus if "+" in copy}
    assert pairs_of(find_copies([table(corpus)], folder=tmp_path)) == wanted
    assert list(tmp_path.iterdir()) == []


def test_two_takes_of_one_sentence_are_no_copies_but_the_same_take_twice_is(tmp_path: Path) -> None:
    voice, sounds = a_voice(0), [3, 11, 7, 0, 15, 4, 9, 12, 3, 18, 6, 1]
    takes = {f"take{number}": say(voice, sounds, number) for number in range(8)}
    assert pairs_of(find_copies([table(takes)], folder=tmp_path)) == set()
    assert pairs_of(find_copies([table(takes | {"again": noisy(takes["take5"])})], folder=tmp_path)) == {
        ("again", "take5")
    }


def test_pieces_that_share_a_drum_sample_or_a_hum_are_no_copies(tmp_path: Path) -> None:
    drum_N, hum_N = bursts(99, 0.25), 0.02 * np.sin(2 * np.pi * 100 * np.arange(4 * RATE) / RATE)
    pieces = {}
    for number in range(8):
        piece_N = chords(number, 4.0) + hum_N.astype(np.float32)
        for start in np.random.default_rng([6, number]).integers(0, piece_N.size - drum_N.size, 6):
            piece_N[start : start + drum_N.size] += drum_N
        pieces[f"piece{number}"] = piece_N
    assert pairs_of(find_copies([table(pieces)], folder=tmp_path)) == set()


def test_an_excerpt_is_found_in_its_recording_with_its_place_and_its_speed(tmp_path: Path) -> None:
    song_N = np.concatenate([chords(seed, 4.0) for seed in range(6)])
    excerpt_N = resample(song_N[4 * RATE : 20 * RATE], 100, 101)
    row = find_copies(
        [table({"excerpt": excerpt_N, "other": chords(77, 5.0)})], [table({"song": song_N})], folder=tmp_path
    )
    (found,) = row.to_pylist()
    assert (found["id_a"], found["id_b"]) == ("excerpt", "song")
    assert found["offset_s"] == pytest.approx(-4 * found["speed"], abs=0.1)
    assert found["speed"] == pytest.approx(1.01, abs=0.003)
    assert found["overlap"] > 0.8


def test_copies_that_more_clips_share_than_may_meet_are_still_one_cluster(tmp_path: Path) -> None:
    jingle_N = chords(77, 3.0)
    corpus = a_corpus(3) | {f"jingle{number:02d}": noisy(jingle_N, number) for number in range(30)}
    found = clusters(find_copies([table(corpus)], folder=tmp_path, search=CopySearch(window=4)))
    assert found.to_pydict() == {
        "clip_id": [f"jingle{number:02d}" for number in range(30)],
        "cluster_id": ["jingle00"] * 30,
    }


def test_neither_order_nor_batches_nor_memory_change_what_is_found(tmp_path: Path) -> None:
    corpus = a_corpus(2)
    corpus |= {f"{name}+": COPIES["slower"](samples_N) for name, samples_N in corpus.items()}
    whole = table(corpus)
    expected = find_copies([whole], folder=tmp_path)
    assert expected.num_rows == 6
    shuffled = whole.take(np.random.default_rng(0).permutation(whole.num_rows))
    assert find_copies((shuffled.slice(row, 2) for row in range(0, 12, 2)), folder=tmp_path).equals(expected)
    assert find_copies([whole], folder=tmp_path, search=CopySearch(memory_bytes=5_000)).equals(expected)


def test_clips_without_landmarks_and_no_clips_at_all_are_fine(tmp_path: Path) -> None:
    empty = table({"silence": np.zeros(RATE, np.float32)})
    for tables in ([], [empty], [empty.slice(0, 0)]):
        assert find_copies(tables, folder=tmp_path).schema == copies.PAIRS
        assert find_copies(tables, [empty], folder=tmp_path).num_rows == 0
    assert clusters(find_copies([], folder=tmp_path)).schema == copies.CLUSTERS


def test_clusters_join_chains_and_are_named_by_their_smallest_id() -> None:
    links = [(f"{one:04d}", f"{one + 1:04d}") for one in range(0, 999)] + [("x", "b"), ("y", "x"), ("z", "zz")]
    order = np.random.default_rng(0).permutation(len(links))
    pairs = pa.table({"id_a": [links[place][0] for place in order], "id_b": [links[place][1] for place in order]})
    found = dict(zip(*clusters(pairs).to_pydict().values(), strict=True))
    assert {name: found[name] for name in ("b", "x", "y", "z", "zz")} == {
        "b": "b",
        "x": "b",
        "y": "b",
        "z": "z",
        "zz": "z",
    }
    assert {found[f"{one:04d}"] for one in range(1_000)} == {"0000"}


def test_values_are_unpacked_as_they_were_packed() -> None:
    assert fingerprint.FRAME_BITS == copies.FRAME_BITS
    assert fingerprint.FRAME_SAMPLES / fingerprint.LANDMARK_RATE == copies.FRAME_S


def test_a_table_without_landmarks_and_a_window_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lacks \['landmarks'\]"):
        find_copies([pa.table({"clip_id": ["a"], "duration_s": [1.0]})], folder=tmp_path)
    with pytest.raises(UsageError, match="`window` must be 1 or more, but is 0"):
        CopySearch(window=0)


@pytest.mark.parametrize(
    ("shared_frames", "is_copy"),
    [
        (range(0, 400, 40), True),
        (range(0, 60, 6), False),
        ([0] * 5 + [200] * 5, False),
        # Two clicks: a fifth of the landmarks is little, a third is enough.
        ([0] * 9 + [200] * 9, False),
        ([0] * 20 + [200] * 20, True),
    ],
)
def test_votes_must_come_from_several_moments_of_more_than_one_stretch(
    shared_frames: Sequence[int], is_copy: bool, tmp_path: Path
) -> None:
    own = np.random.default_rng(0).integers(0, 2**39, (2, 80)) << copies.FRAME_BITS | np.arange(0, 400, 5)
    shared = np.arange(len(shared_frames)) << copies.FRAME_BITS | np.array(shared_frames)
    values = pa.array([np.append(one, shared) for one in own], pa.list_(pa.int64()))
    two = pa.table({"clip_id": ["a", "b"], "duration_s": [3.3, 3.4], "landmarks": values})
    search = CopySearch(min_votes=8)
    assert pairs_of(find_copies([two], folder=tmp_path, search=search)) == ({("a", "b")} if is_copy else set())


@pytest.mark.parametrize(("num_shared", "is_copy"), [(2, False), (3, True), (6, True)])
def test_few_landmarks_make_a_copy_where_the_envelopes_are_alike(
    num_shared: int, is_copy: bool, tmp_path: Path
) -> None:
    values, other = landmarks(bursts(3, 2.0), RATE), landmarks(bursts(4, 2.0), RATE)
    same, another = values[is_envelope(values)], other[is_envelope(other)]
    schema = pa.schema([("clip_id", pa.string()), ("duration_s", pa.float64()), ("landmarks", pa.list_(pa.int64()))])

    def found(envelope: np.ndarray) -> set[tuple[str, str]]:
        rows = [clip("a", num_shared, same), clip("b", num_shared, envelope), clip("c", 0, same)]
        of_index = find_copies(
            [pa.Table.from_pylist(rows[:1], schema)], [pa.Table.from_pylist(rows[1:], schema)], folder=tmp_path
        )
        among = find_copies([pa.Table.from_pylist(rows, schema)], folder=tmp_path)
        assert pairs_of(among) == pairs_of(of_index)
        return pairs_of(among)

    assert found(same) == ({("a", "b")} if is_copy else set())
    assert found(another) == found(same[:0]) == set()
