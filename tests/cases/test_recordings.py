"""Recordings as people have them, through the edge: each is a row of its whole length that says what is odd about it, or dropped by name."""

import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip, Value
from uniaudio_pipelines.raw_to_annotated.cuts_worker import CutsWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.store.manifest import Plan

from tests.uniaudio.audio.files import (
    NUM_SAMPLES,
    RATE,
    a_tone,
    encode,
    every_format,
    flac_with_length,
    sound,
    sphere,
    wav_with_size,
)


def variable_mp3() -> bytes:
    """As written into a pipe: no header says how long it is."""
    return encode(a_tone(), container="mp3", codec="libmp3lame", seekable=False, flags="+qscale", global_quality="472")


def test_odd_recordings_keep_their_length_and_say_what_is_odd(source: Any) -> None:
    kept = every_format()
    source.bytes("x/variable.mp3", variable_mp3())
    source.bytes("x/chained.ogg", sound(a_tone(), container="OGG") + sound(a_tone(9_000), container="OGG"))
    source.bytes("x/chained.opus", kept[".opus"] * 2)
    source.bytes("x/twice.mp3", kept[".mp3"] * 2)
    source.bytes("x/piped.flac", flac_with_length(kept[".flac"], 0))
    source.bytes("x/sox.wav", wav_with_size(0x7FFF_F000))
    source.bytes("x/pipe.wav", wav_with_size(0xFFFF_FFFF))
    source.bytes("x/m4a_as.mp3", kept[".m4a"])
    source.bytes("x/webm_as.ogg", kept[".webm"])
    source.bytes("x/with_headers.wav", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + sound(a_tone(NUM_SAMPLES - 1)))
    source.bytes("x/nist.sph", sphere(a_tone(NUM_SAMPLES - 2)))
    source.bytes("x/mulaw.sph", sphere(a_tone(), "ulaw"))
    source.bytes("x/SA1.WAV", sphere(a_tone(NUM_SAMPLES - 3)))
    made = source.ingest()
    said = {row.path[2:]: (round(row.num_samples * RATE / row.sample_rate), row.problems) for row in made.rows}
    lengths = {name: length for name, (length, _) in said.items()}
    assert {name: problems[0].split(":")[0] for name, (_, problems) in said.items() if problems} == {
        "variable.mp3": "unknown_length", "chained.ogg": "chained_streams", "chained.opus": "chained_streams",
        "twice.mp3": "chained_streams", "piped.flac": "unknown_length", "sox.wav": "unknown_length", "pipe.wav": "unknown_length",
        "m4a_as.mp3": "wrong_suffix", "webm_as.ogg": "wrong_suffix", "with_headers.wav": "junk_before_audio",
    }  # fmt: skip
    assert lengths.pop("variable.mp3") == 37 * 576
    assert NUM_SAMPLES <= lengths.pop("m4a_as.mp3") <= NUM_SAMPLES + 2_048
    assert lengths == {
        "chained.ogg": NUM_SAMPLES + 9_000, "chained.opus": 2 * NUM_SAMPLES, "twice.mp3": 2 * NUM_SAMPLES, "piped.flac": NUM_SAMPLES,
        "sox.wav": NUM_SAMPLES, "pipe.wav": NUM_SAMPLES, "webm_as.ogg": NUM_SAMPLES, "with_headers.wav": NUM_SAMPLES - 1,
        "nist.sph": NUM_SAMPLES - 2, "mulaw.sph": NUM_SAMPLES, "SA1.WAV": NUM_SAMPLES - 3,
    }  # fmt: skip
    assert made.dropped == []


def test_what_is_no_whole_recording_is_dropped_by_name_and_the_rest_goes_on(source: Any) -> None:
    kept = every_format()
    source.wav("x/good.wav")
    for name, data in {
        "cut.mp3": kept[".mp3"][: len(kept[".mp3"]) * 7 // 10],
        "cut.flac": kept[".flac"][:9_000],
        "cut.m4a": kept[".m4a"][:9_000],
        "pointer.wav": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "page.mp3": b"<html><body>404 Not Found</body></html>",
        "not_a_number.wav": sound(np.full((1, 9_000), np.nan), subtype="FLOAT"),
        "sixteen.wav": sound(a_tone(9_000, channels=16)),
    }.items():
        source.bytes(f"x/{name}", data)
    made = source.ingest()
    assert made.row.path == "x/good.wav"
    reasons = made.reasons()
    assert reasons.pop("x/sixteen.wav") == "unsupported"
    assert set(reasons.values()) == {"unreadable"} and len(reasons) == 6
    (detail,) = [row["detail"] for row in made.dropped if row["row_id"] == "x/cut.mp3"]
    assert "is cut short: " in detail


def test_one_recording_under_a_wrong_and_a_right_name_is_one_row(source: Any) -> None:
    m4a = every_format()[".m4a"]
    source.bytes("twin/a_wrongname.mp3", m4a)
    source.bytes("twin/b_good.m4a", m4a)
    made = source.ingest()
    assert (made.row.path, made.row.also_paths) == ("twin/a_wrongname.mp3", ["twin/b_good.m4a"])
    assert made.reasons() == {"twin/b_good.m4a": "duplicate"}


class Ears:
    """Says how loud what it is given to hear is."""

    name: ClassVar[str] = "ears"
    domains: ClassVar[frozenset[str]] = frozenset({"speech", "sound"})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"loudness_lufs"})

    def __init__(self, models: Path, device: str) -> None:
        del models, device

    @classmethod
    def version(cls) -> str:
        return "1"

    def annotate(self, clip: Clip) -> list[Value]:
        return [Value(column="loudness_lufs", value=float(np.sqrt(np.mean(clip.analysis**2))))]


@pytest.mark.parametrize("domain", ["speech", "unknown"])
@pytest.mark.parametrize("level", [1.0, 0.92])
def test_a_recording_whose_channels_cancel_is_heard_by_one_of_them(source: Any, domain: str, level: float) -> None:
    tone = a_tone()[0] * 0.8
    source.bytes("x/inverted.wav", sound(np.stack([tone, -level * tone])))
    source.text("x/metadata.jsonl", f'{{"path": "inverted.wav", "domain": "{domain}", "given_text": "hello"}}')
    made = source.ingest()
    assert made.row.mono_channel is not None and made.row.problems[0].startswith("channels_cancel")

    def make(root: str, job: RawToCuts, plan: Plan) -> CutsWorker:
        return CutsWorker.with_annotators(root, job, plan, [Ears(Path(), "cpu")])

    manifest = run(made.store, RawToAnnotated(annotators=()), num_workers=0, make_worker=make)
    (row,) = made.store.rows(manifest, Annotated)
    assert row.loudness_lufs == pytest.approx(float(np.sqrt(np.mean(tone**2))), rel=0.02)
    assert row.given_text == "hello"


def test_names_of_every_kind_are_read(source: Any) -> None:
    names = [
        "a b",
        'it\'s "it"',
        "two\nlines",
        "tab\there",
        "\U0001f600",
        "*[1]?",
        "%20",
        "-dash",
        "#;",
        "音楽",
        "back\\slash",
    ]
    source.wav(*(f"odd/{name}.wav" for name in names))
    made = source.ingest()
    assert {row.path for row in made.rows} == {f"odd/{name}.wav" for name in names}
    assert made.dropped == []


def test_a_float_recording_at_the_scale_of_integers_is_scaled_to_what_was_meant(source: Any) -> None:
    pcm = np.rint(a_tone() * 32_767)
    source.bytes("x/float.wav", sound(pcm, subtype="FLOAT"))
    row = source.ingest().row
    assert row.gain == 1 / 32_768 and row.problems[0].startswith("beyond_full_scale")


def test_a_header_of_wave_may_be_extensible(source: Any) -> None:
    form = struct.pack("<HHIIHH", 0xFFFE, 1, RATE, 3 * RATE, 3, 24) + struct.pack("<HHI", 22, 24, 4)
    form += struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    samples = b"".join(int(value).to_bytes(3, "little", signed=True) for value in np.rint(a_tone()[0] * (1 << 22)))
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    source.bytes("x/ext24.wav", b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    made = source.ingest()
    assert (made.row.num_samples, made.row.problems) == (NUM_SAMPLES, [])
    np.testing.assert_allclose(made.samples(made.row)[0], a_tone()[0] * (1 << 14), atol=0.51)
