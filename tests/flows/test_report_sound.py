"""What the report shows of a sound, against sounds whose spectrum, peak and length are known."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from uniaudio_flows.report import sound
from uniaudio_flows.report.examples import _marks
from uniaudio_flows.report.table import cell, is_number
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.annotated import Turn, Word
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.testing import a_plan, example_rows

soundfile = pytest.importorskip("soundfile")


def sine(frequency: float, sample_rate: int, seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sample_rate)) / sample_rate)).astype("f4")


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 44_100, 48_000, 192_000])
def test_a_sine_is_bright_in_its_row_at_its_level(sample_rate: int) -> None:
    levels_db = sound.spectrogram_db(sine(1_500.0, sample_rate, 1.0), sample_rate)
    middle = levels_db[:, levels_db.shape[1] // 2]
    row = 1_500.0 / (sample_rate / 2) * 128
    assert abs(int(middle.argmax()) + 0.5 - row) <= 1.0
    assert middle.max() == pytest.approx(20 * np.log10(0.5), abs=1.5)
    assert np.sort(middle)[64] < -70
    assert levels_db.shape[1] <= 600


def test_the_columns_of_a_spectrogram_are_in_time() -> None:
    samples = np.concatenate([np.zeros(8_000), sine(1_000.0, 8_000, 1.0)]).astype("f4")
    loud = sound.spectrogram_db(samples, 8_000).max(axis=0) > -20
    assert 0.495 < np.flatnonzero(loud)[0] / len(loud) < 0.502
    assert loud[-5:].all()


@pytest.mark.parametrize("num_samples", [1, 2, 100, 80_000])
def test_any_length_has_a_picture(num_samples: int) -> None:
    samples = np.zeros(num_samples, np.float32)
    assert np.isfinite(sound.spectrogram_db(samples, 8_000)).all()
    assert " " in sound.envelope(samples, 0.0)


def test_a_png_holds_the_shades_it_was_given() -> None:
    shades = np.arange(35, dtype=np.uint8).reshape(5, 7)
    data = sound.png(shades)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert struct.unpack(">I", data[place + 8 + size : place + 12 + size])[0] == zlib.crc32(name + body)
        chunks[name] = body
        place += size + 12
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (7, 5, 8, 3)
    assert len(chunks[b"PLTE"]) == 3 * 64
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, 8)
    assert (lines[:, 0] == 0).all()
    assert (lines[:, 1:] == shades).all()


def test_low_frequencies_are_at_the_bottom_and_the_loudest_is_brightest() -> None:
    levels_db = np.array([[-10.0, -30.0], [-50.0, -200.0]])
    assert sound._shades(levels_db, -10.0).tolist() == [[32, 0], [63, 47]]


def test_an_envelope_reaches_the_peak_and_no_further() -> None:
    samples = np.zeros(4_000, np.float32)
    samples[1_000], samples[3_000] = 0.25, -0.25
    heights = [float(point.split(",")[1]) for point in sound.envelope(samples, 0.25).split()]
    assert min(heights) == 0.0
    assert max(heights) == 100.5
    assert heights[:400].index(0.0) == 100


@pytest.mark.parametrize(
    ("end", "labels"),
    [(0.35, "0 0.05 0.1 0.15 0.2 0.25 0.3"), (2.64, "0 0.5 1 1.5 2 2.5"), (10.0, "0 2 4 6 8"), (0.004, "0")],
)
def test_ticks_are_round_and_inside(end: float, labels: str) -> None:
    found = sound.ticks(end, (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0), 10)
    assert [tick.label for tick in found] == labels.split()
    assert all(tick.percent == pytest.approx(100 * float(tick.label) / end) for tick in found)
    assert all(tick.percent <= 97 for tick in found)


@pytest.mark.parametrize(("seconds", "mime", "format"), [(1.0, "audio/flac", "FLAC"), (9.0, "audio/ogg", "OGG")])
def test_what_is_too_large_as_flac_becomes_vorbis_of_the_same_length(seconds: float, mime: str, format: str) -> None:
    samples = (0.2 * np.random.default_rng(0).standard_normal(round(seconds * 44_100))).astype("f4")
    data, found = sound.encode(samples, 44_100)
    assert found == mime
    assert len(data) <= sound.MAX_FLAC_BYTES
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.format, file.frames, file.samplerate) == (format, len(samples), 44_100)


def a_raw(store: Store, samples_NC: np.ndarray, **changes: object) -> Raw:
    file = io.BytesIO()
    soundfile.write(file, samples_NC, 8_000, format="FLAC")
    data = file.getvalue()
    with store.writer(a_plan("raw"), owner="test") as writer:
        tar = writer.put_blob(b"in front" + data + b"behind")
    fields = {"tar": tar, "tar_offset": 8, "tar_size": len(data), "sample_rate": 8_000, "num_samples": len(samples_NC)}
    [row] = example_rows("raw")
    return Raw(**{**{name: getattr(row, name) for name in Raw.__slots__}, **fields, **changes})  # type: ignore[attr-defined]


def test_a_passage_is_the_cut_as_it_is_heard(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left, right = sine(500.0, 8_000, 1.0), sine(900.0, 8_000, 1.0, level=0.25)
    stereo = np.stack([left, right], axis=1)
    mixed = sound.read_mono(store, a_raw(store, stereo), 1_000, 3_000)
    assert np.abs(mixed - stereo[1_000:4_000].mean(axis=1)).max() < 1e-4
    alone = sound.read_mono(store, a_raw(store, stereo, mono_channel=1), 1_000, 3_000)
    assert np.abs(alone - right[1_000:4_000]).max() < 1e-4


def test_a_passage_ends_after_ten_seconds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    raw = a_raw(store, np.zeros((90_000, 1)))
    assert sound.passage(store, raw, 4_000, 86_000).seconds == 10.0
    assert sound.passage(store, raw, 4_000, 800).seconds == 0.1


def test_audio_that_is_broken_or_ends_before_the_cut_is_a_data_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    raw = a_raw(store, np.zeros((100, 1)))
    with pytest.raises(DataError, match="no samples from 100 on"):
        sound.passage(store, raw, 100, 50)
    with pytest.raises(DataError, match="cannot be read"):
        sound.passage(store, a_raw(store, np.zeros((100, 1)), tar_offset=0, tar_size=8), 0, 50)


def test_words_stand_at_their_times_and_have_room_up_to_the_next_of_their_row() -> None:
    words = [Word(word=str(i), first_sample=200 * i, num_samples=100, confidence=0.5) for i in range(6)]
    found = list(_marks(words, 1_000, 1_000))
    assert [mark.text for mark in found] == ["0", "1", "2", "3", "4"], "the last is behind what is shown"
    assert [mark.left for mark in found] == [0, 20, 40, 60, 80]
    assert [mark.row for mark in found] == [0, 1, 0, 1, 0]
    assert [mark.room for mark in found] == [40, 40, 40, 40, 20]
    assert found[1].title == "1: 0.20 to 0.30 s, confidence 0.50"
    turns = [Turn(voice=0, first_sample=0, num_samples=700), Turn(voice=1, first_sample=500, num_samples=900)]
    assert [(mark.text, mark.row, mark.left, mark.width) for mark in _marks(turns, 1_000, 1_000)] == [
        ("voice 1", 0, 0, 70), ("voice 2", 1, 50, 50)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), ("", "–"), ([], "–"), (True, "yes"), (12345, "12,345"), (0.123456, "0.1235"), (np.float64(2.5), "2.5"),
        (["a", 1.5], "a, 1.5"), ("<b>", "<b>"),
    ],
)  # fmt: skip
def test_a_value_reads_as_a_person_writes_it(value: object, text: str) -> None:
    assert cell(value) == text
    assert is_number(value) == (type(value) in (int, float, np.float64))
