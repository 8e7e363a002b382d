import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from uniaudio_schemas.errors import DataError, UsageError

from tests.uniaudio.audio.files import a_tone, encode
from uniaudio.audio.read import probe, read_audio, read_blocks, write_flac_bytes

soundfile = pytest.importorskip("soundfile")
av = pytest.importorskip("av")


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("AIFF", "PCM_16")])
def test_stereo_keeps_its_channels_apart(tmp_path: Path, container: str, subtype: str) -> None:
    samples = a_tone(channels=2)
    soundfile.write(tmp_path / "x.bin", samples.T, 16_000, format=container, subtype=subtype)
    audio = read_audio(tmp_path / "x.bin")
    assert (audio.sample_rate, audio.samples.dtype) == (16_000, np.float32)
    np.testing.assert_allclose(audio.samples, samples, atol=5e-5)


def test_flac_gives_back_the_quantized_samples_exactly() -> None:
    samples = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 5_000))
    quantized = np.clip(np.rint(samples * 32_768), -32_768, 32_767) / 32_768
    once = read_audio(write_flac_bytes(samples, 24_000)).samples
    assert np.array_equal(once, quantized.astype(np.float32))
    assert write_flac_bytes(once, 24_000) == write_flac_bytes(samples, 24_000)


def test_a_cut_equals_the_slice_of_the_whole() -> None:
    flac = write_flac_bytes(np.random.default_rng(1).uniform(-0.9, 0.9, 50_000), 11_025)
    whole = read_audio(flac).samples
    cut = read_audio(flac, first_sample=12_345, num_samples=6_789).samples
    assert np.array_equal(cut, whole[:, 12_345 : 12_345 + 6_789])


def test_a_cut_beyond_the_end_is_refused() -> None:
    with pytest.raises(DataError, match=r"clip\.flac: ends 500 samples before"):
        read_audio(write_flac_bytes(a_tone(1_000), 16_000), name="clip.flac", first_sample=500, num_samples=1_000)


def test_raw_g722_is_read_by_its_suffix(tmp_path: Path) -> None:
    samples = a_tone(16_000)
    path = tmp_path / "prompt.g722"
    path.write_bytes(encode(samples, 16_000, container="g722", codec="g722"))
    audio = read_audio(path)
    assert audio.sample_rate == 16_000
    assert audio.samples.shape == (1, 16_000)
    assert np.abs(np.fft.rfft(audio.samples[0])).argmax() == 440
    assert np.array_equal(audio.samples, read_audio(path.read_bytes(), suffix=".g722").samples)


@pytest.mark.parametrize(("container", "suffix"), [("adts", ".aac"), ("ipod", ".m4a")])
def test_aac_is_read(container: str, suffix: str) -> None:
    data = encode(a_tone(44_100, 44_100, channels=2), 44_100, container=container, codec="aac")
    audio = read_audio(data, suffix=suffix)
    assert (audio.sample_rate, audio.samples.shape[0]) == (44_100, 2)
    assert abs(audio.samples.shape[1] - 44_100) < 4_096
    assert np.abs(np.fft.rfft(audio.samples[1, 4_096:40_000])).argmax() == pytest.approx(880 * 35_904 / 44_100, abs=1.5)


def test_blocks_are_the_file_in_pieces_of_the_asked_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", a_tone(10_000)[0], 16_000)
    blocks = list(read_blocks(tmp_path / "x.wav", 3_000))
    assert [block.shape for block in blocks] == [(1, 3_000)] * 3 + [(1, 1_000)]
    assert np.array_equal(np.concatenate(blocks, axis=1), read_audio(tmp_path / "x.wav").samples)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(4_000_000, np.int16), 24_000)
    tracemalloc.start()
    assert sum(block.shape[1] for block in read_blocks(tmp_path / "long.wav", 24_000)) == 4_000_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000  # the file is 8 MB
    tracemalloc.stop()


def test_probe_tells_the_header_without_decoding(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", a_tone(4_410, 44_100, channels=2).T, 44_100)
    info = probe(tmp_path / "x.flac")
    assert (info.sample_rate, info.channels, info.num_samples, info.format) == (44_100, 2, 4_410, "FLAC/PCM_16")


def wav_bytes(samples: np.ndarray, sample_rate: int = 16_000, subtype: str = "FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, sample_rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


NAN = np.where(np.arange(8_000) == 4_321, np.nan, 0.1)[None]
BAD = {
    "no byte": (b"", "is empty"),
    "no sample": (wav_bytes(np.zeros((1, 0))), "holds no samples"),
    "not audio": (b"<html>not found</html>" * 50, "is not an audio file"),
    "NaN": (wav_bytes(NAN), "sample 4321 must be a finite number"),
    "infinite": (wav_bytes(np.where(np.isnan(NAN), np.inf, NAN)), "sample 4321 must be a finite number"),
    "rate of 1 Hz": (wav_bytes(a_tone(), 1), "but is 1"),
    "rate of 4 MHz": (wav_bytes(a_tone(), 4_000_000), "but is 4000000"),
    "cut WAV": (wav_bytes(a_tone(), subtype="PCM_16")[:9_000], "is cut short"),
    "cut FLAC": (
        write_flac_bytes(np.random.default_rng(0).uniform(-1, 1, 40_000), 16_000)[:40_000],
        "cut short|broken",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_data_error_that_names_the_file(case: str, tmp_path: Path) -> None:
    data, message = BAD[case]
    (tmp_path / "bad.wav").write_bytes(data)
    with pytest.raises(DataError, match=rf"bad\.wav: .*({message})"):
        read_audio(tmp_path / "bad.wav")


def test_a_header_without_channels_is_refused() -> None:
    data = bytearray(wav_bytes(a_tone(), subtype="PCM_16"))
    data[22:24] = b"\0\0"
    with pytest.raises(DataError, match=r"zero\.wav"):
        read_audio(bytes(data), name="zero.wav")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.wav: cannot be opened"):
        read_audio("nowhere.wav")


@pytest.mark.parametrize("suffix", [".m4a", ".aac", ".wma", ".mka"])
def test_a_playlist_is_not_followed_whatever_it_is_called(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav_bytes(a_tone()))
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.wav\n".encode()
    with pytest.raises(DataError, match=r"list"):
        read_audio(playlist, suffix=suffix, name="list")


def test_what_cannot_be_flac_is_refused() -> None:
    with pytest.raises(UsageError, match="NaN"):
        write_flac_bytes(NAN, 16_000)
    with pytest.raises(UsageError, match="1 to 8 channels"):
        write_flac_bytes(np.zeros((9, 10)), 16_000)
