"""Audio is read from its first sample to its last, whatever its header says."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from uniaudio_schemas.errors import DataError

from tests.uniaudio.audio.files import (
    NUM_SAMPLES,
    RATE,
    a_tone,
    encode,
    every_format,
    flac_with_length,
    sound,
    without_xing,
)
from uniaudio.audio.container import FORMATS, audio_suffixes
from uniaudio.audio.decoders import FFmpegDecoder
from uniaudio.audio.part import Part
from uniaudio.audio.problem import KINDS, Problem
from uniaudio.audio.read import probe, read_audio, read_blocks

pytest.importorskip("soundfile")
pytest.importorskip("av")

WITHOUT_MARK = (".g722", ".gsm")
DELAY = 2_048
"""The most samples by which an encoder's delay moves the tone in the formats that do not take it out."""


def by_ffmpeg(data: bytes, demuxer: str) -> np.ndarray:
    decoder = FFmpegDecoder(io.BytesIO(data), Part(pieces=(data,), demuxer=demuxer), "x")
    samples = np.concatenate(list(decoder.blocks(1, 0)), axis=1)
    decoder.close()
    return samples


@pytest.mark.parametrize("suffix", every_format() if pytest.importorskip("av") else [])
def test_every_format_is_recognized_by_its_contents_and_read_whole(suffix: str) -> None:
    audio = read_audio(every_format()[suffix], suffix=suffix if suffix in WITHOUT_MARK else ".xyz")
    seconds = NUM_SAMPLES / RATE
    assert 0 <= audio.samples.shape[1] + 600 - seconds * audio.sample_rate < DELAY + 600
    spectrum = np.abs(np.fft.rfft(audio.samples[0]))
    assert spectrum.argmax() * audio.sample_rate / audio.samples.shape[1] == pytest.approx(440, abs=1)


BOTH = {
    "WAV PCM_U8": "wav", "WAV PCM_16": "wav", "WAV PCM_24": "wav", "WAV PCM_32": "wav", "WAV FLOAT": "wav",
    "WAV DOUBLE": "wav", "WAV ULAW": "wav", "WAV ALAW": "wav", "WAV IMA_ADPCM": "wav", "WAV MS_ADPCM": "wav",
    "RF64 PCM_16": "wav", "W64 PCM_16": "w64", "AIFF PCM_16": "aiff", "AIFF PCM_24": "aiff", "AIFF FLOAT": "aiff",
    "AU PCM_16": "au", "AU ULAW": "au", "CAF PCM_16": "caf", "FLAC PCM_16": "flac",
    "FLAC PCM_24": "flac", "OGG VORBIS": "ogg", "OGG OPUS": "ogg", "MP3 MPEG_LAYER_III": "mp3",
}  # fmt: skip


@pytest.mark.parametrize("kind", BOTH)
def test_both_decoders_give_the_same_samples(kind: str) -> None:
    container, subtype = kind.split()
    rate = 48_000 if subtype == "OPUS" else RATE
    data = sound(a_tone(NUM_SAMPLES, rate, channels=2), rate, container=container, subtype=subtype)
    ours, theirs = read_audio(data).samples, by_ffmpeg(data, BOTH[kind])
    length = min(ours.shape[1], theirs.shape[1])
    # Of the compressed formats FFmpeg also gives the padding of the last block.
    assert ours.shape[1] == NUM_SAMPLES or "ADPCM" in kind
    assert theirs.shape[1] - ours.shape[1] in range(-128, 1_024)
    # The two round the predictions of MS ADPCM differently.
    tolerance = {"MS_ADPCM": 3e-3, "OPUS": 2e-2, "VORBIS": 1e-5, "MPEG_LAYER_III": 1e-6}.get(subtype, 0)
    np.testing.assert_allclose(ours[:, :length], theirs[:, :length], atol=tolerance, rtol=0)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_files_put_one_behind_the_other_are_their_samples_one_behind_the_other(suffix: str) -> None:
    first = every_format()[suffix]
    tone = a_tone(12_345)
    if suffix == ".mp3":
        second = encode(tone, container="mp3", codec="libmp3lame")
    else:
        second = sound(
            tone,
            container={".opus": "OGG"}.get(suffix, suffix[1:].upper()),
            subtype="OPUS" if suffix == ".opus" else None,
        )
    whole = read_audio(first + second, suffix=suffix).samples
    apart = [read_audio(data, suffix=suffix).samples for data in (first, second)]
    assert np.array_equal(whole, np.concatenate(apart, axis=1))
    cut = read_audio(first + second, suffix=suffix, first_sample=19_000, num_samples=3_000).samples
    assert np.array_equal(cut, whole[:, 19_000:22_000])


def test_an_mp3_without_a_length_differs_by_the_delays_alone() -> None:
    with_length = every_format()[".mp3"]
    known, unknown = read_audio(with_length).samples, read_audio(without_xing(with_length)).samples
    assert known.shape[1] == NUM_SAMPLES
    delay = 1_105  # 576 of the encoder and 529 of the decoder
    assert unknown.shape[1] % 576 == 0
    # The first frame borrows bits from the one that was taken away.
    np.testing.assert_allclose(unknown[:, delay + 1_152 :][:, : NUM_SAMPLES - 1_152], known[:, 1_152:], atol=1e-6)


def test_an_mp3_that_says_less_gives_the_same_samples() -> None:
    data = every_format()[".mp3"]
    at = data.index(b"Info") + 8
    says_less = data[:at] + (9).to_bytes(4) + data[at + 4 :]
    assert np.array_equal(read_audio(says_less).samples, read_audio(data).samples)


@pytest.mark.parametrize("suffix", [".flac", ".wv", ".tta"])
def test_a_lossless_file_with_a_wrong_bit_is_refused(suffix: str) -> None:
    data = bytearray(every_format()[suffix])
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match=r"is broken after sample \d+"):
        read_audio(bytes(data))


def test_a_frame_that_cannot_be_decoded_is_told_and_many_are_refused() -> None:
    data = every_format()[".aac"] * 8
    frames, position = list[int](), 0
    while position < len(data):
        frames.append(position)
        position += int.from_bytes(data[position + 3 : position + 6]) >> 5 & 0x1FFF
    broken = bytearray(data)
    broken[frames[50] + 7 : frames[51]] = b"\xff" * (frames[51] - frames[50] - 7)
    problems: list[Problem] = []
    audio = read_audio(bytes(broken), problems=problems)
    assert len(frames) * 1_024 - audio.samples.shape[1] in (0, 1_024)
    assert [problem.kind for problem in problems] == ["undecodable_frames"]
    for index in range(60, 90):
        broken[frames[index] + 7 : frames[index + 1]] = b"\xff" * (frames[index + 1] - frames[index] - 7)
    with pytest.raises(DataError, match="packets cannot be decoded"):
        read_audio(bytes(broken))


def test_a_stream_that_changes_its_rate_in_mid_file_is_refused() -> None:
    slow, fast = (encode(a_tone(9_000, rate), rate, container="adts", codec="aac") for rate in (RATE, 22_050))
    with pytest.raises(
        DataError, match=r"x: must keep its 16000 Hz .* but has 22050 Hz and 1 channels from sample \d+ on"
    ):
        by_ffmpeg(slow + fast, "aac")


def test_sphere_of_either_byte_order_is_read() -> None:
    little = every_format()[".sph"]
    header = little[:1_024].replace(b"sample_byte_format -s2 01", b"sample_byte_format -s2 10")
    big = header + np.frombuffer(little[1_024:], "<i2").astype(">i2").tobytes()
    assert np.array_equal(read_audio(big).samples, read_audio(little).samples)


def test_even_a_demuxer_of_playlists_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.ts").write_bytes(encode(a_tone(), container="mpegts", codec="aac"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nfile:{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n"
    with pytest.raises(DataError):
        by_ffmpeg(playlist.encode(), "hls")


def test_reading_twice_gives_the_same_bits() -> None:
    for data in every_format().values():
        if data != every_format()[".g722"]:
            assert np.array_equal(read_audio(data).samples, read_audio(data).samples)


def test_what_is_shorter_than_promised_but_whole_is_told() -> None:
    data = every_format()[".mka"]
    at = data.index(b"\x44\x89\x88") + 3  # Duration, a float of 8 bytes, in milliseconds
    longer = data[:at] + np.array([1_340.0], ">f8").tobytes() + data[at + 8 :]
    problems: list[Problem] = []
    assert read_audio(longer, problems=problems).samples.shape[1] == NUM_SAMPLES
    assert [problem.kind for problem in problems] == ["shorter_than_header"] and "21440" in problems[0].detail
    much_longer = data[:at] + np.array([9_000.0], ">f8").tobytes() + data[at + 8 :]
    with pytest.raises(DataError, match="cut short: 20000 of 144000"):
        read_audio(much_longer)


@pytest.mark.parametrize("missing", [10, 11])
def test_a_long_track_that_lacks_a_few_samples_is_kept_and_told(missing: int) -> None:
    samples = np.sin(np.arange(250_000) / 20)[None].astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples[0, : 250_000 - missing], 16_000, format="WAV", subtype="PCM_16")
    data = file.getvalue()
    at = data.index(b"data") + 4
    promising = data[:at] + (2 * 250_000).to_bytes(4, "little") + data[at + 4 :]
    problems: list[Problem] = []
    if missing > 10:
        with pytest.raises(DataError, match="cut short: 499978 of 500000 bytes"):
            read_audio(promising)
    else:
        assert read_audio(promising, problems=problems).samples.shape[1] == 250_000 - missing
        assert [problem.kind for problem in problems] == ["shorter_than_header"]


def test_a_sound_file_has_no_problem() -> None:
    for suffix, data in every_format().items():
        problems: list[Problem] = []
        blocks = list(read_blocks(data, suffix=suffix, problems=problems))
        assert sum(block.shape[1] for block in blocks) and not problems, suffix


def test_the_samples_that_probe_promises_are_those_that_are_read() -> None:
    for suffix in (".wav", ".flac", ".ogg", ".opus", ".mp3", ".mp2", ".wv", ".tta", ".sph"):
        data = every_format()[suffix]
        assert probe(data, suffix=suffix).num_samples == read_audio(data, suffix=suffix).samples.shape[1]
    assert probe(flac_with_length(every_format()[".flac"], 0)).num_samples is None


def test_blocks_of_many_channels_are_no_larger_than_those_of_one() -> None:
    wide = sound(np.zeros((32, 100_000)), subtype="PCM_16")
    assert max(block.nbytes for block in read_blocks(wide)) <= 4 << 20
    assert [block.shape for block in read_blocks(wide, 60_000)] == [(32, 60_000), (32, 40_000)]


def test_a_problem_reads_as_its_kind_and_detail() -> None:
    assert str(Problem(kind="clipped", detail="0.01 of all")) == "clipped: 0.01 of all"
    assert all(kind == kind.lower() and kind.replace("_", "").isalpha() for kind in KINDS)


def test_every_suffix_belongs_to_a_format_and_the_old_ones_are_read() -> None:
    old = ".g722 .aac .m4a .mp4 .m4b .mov .3gp .wma .amr .ac3 .mka .mkv .webm .gsm .wv .tta .ape .wav .flac .ogg .oga .opus "
    old += ".mp3 .aif .aiff .au .snd .w64 .caf .rf64"
    assert set(old.split()) | {".sph", ".nist", ".mp2"} <= audio_suffixes()
    assert all(suffix.startswith(".") for format_ in FORMATS.values() for suffix in format_.suffixes.split())
