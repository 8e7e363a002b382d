"""Opus, Codec2 and Speex through their own programs, to measure a codec beside them.

Reads    `[N]` float32 mono at 24 kHz
Writes   the decoded audio, as long and at the same rate, and the bits of its payload
Row      Coded(samples=[48000] float32, num_bits=12016)

The programs are Debian's `opus-tools`, `codec2` and `speex`: installed, or unpacked side by side into one folder. The
bits are those of the packets; the Ogg container and its comments are not the coder's.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.resample import resample
from uniaudio.codec.evaluation.programs import CODERS, Programs, why_missing

# Bits per second of each mode, without the container.
CODEC2_MODES = {
    450: "450",
    700: "700C",
    1200: "1200",
    1300: "1300",
    1400: "1400",
    1600: "1600",
    2400: "2400",
    3200: "3200",
}
SPEEX_QUALITIES = {2150: 0, 3950: 1, 5950: 2, 8000: 3, 11_000: 5, 15_000: 7, 18_200: 8, 24_600: 10}
# Below it Opus gives what it gives at its lowest rate.
OPUS_LOWEST = 6_000
TELEPHONE_RATE = 8_000
# Every Ogg stream of these coders starts with a header and a comment packet.
NUM_HEADER_PACKETS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """What a coder made of a clip."""

    samples: np.ndarray
    num_bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Coder:
    """One coder at one bitrate."""

    name: str
    run: Callable[[np.ndarray], Coded]


def coders(bits_per_s: float, programs: Programs) -> tuple[list[Coder], list[str]]:
    """Each coder at its bitrate nearest to `bits_per_s`, and the names of those whose programs are not there."""
    candidates = [(coder_named(name, bits_per_s, programs), why_missing(name, programs)) for name in CODERS]
    missing = [f"{coder.name} ({why})" for coder, why in candidates if why]
    return [coder for coder, why in candidates if not why], missing


def coder_named(name: str, bits_per_s: float, programs: Programs) -> Coder:
    """One of `CODERS` at its bitrate nearest to `bits_per_s`, whether its programs are there or not."""
    if name == "opus":
        opus = max(OPUS_LOWEST, round(bits_per_s))
        return Coder(name=f"Opus {opus / 1000:g} kbit/s", run=lambda samples: _opus(samples, opus, programs))
    if name == "codec2":
        codec2 = nearest(CODEC2_MODES, bits_per_s)
        return Coder(name=f"Codec2 {CODEC2_MODES[codec2]}", run=lambda samples: _codec2(samples, codec2, programs))
    if name != "speex":
        raise UsageError(f"`name` must be one of {', '.join(CODERS)}, but is {name!r}.")
    quality = SPEEX_QUALITIES[nearest(SPEEX_QUALITIES, bits_per_s)]
    return Coder(name=f"Speex quality {quality}", run=lambda samples: _speex(samples, quality, programs))


def nearest(choices: dict[int, object] | dict[int, str] | dict[int, int], bits_per_s: float) -> int:
    """The key that is nearest; the lower of two."""
    return min(sorted(choices), key=lambda rate: abs(rate - bits_per_s))


def ogg_payload_bits(data: bytes) -> int:
    """Bits of the packets of an Ogg stream less its headers: what its lacing values add up to."""
    packets: list[int] = []
    position, continued = 0, 0
    while position + 27 <= len(data):
        if data[position : position + 4] != b"OggS":
            raise DataError(f"Ogg stream: byte {position} must start a page, but does not.")
        lacing = data[position + 27 : position + 27 + data[position + 26]]
        for value in lacing:
            continued += value
            if value < 255:
                packets.append(continued)
                continued = 0
        position += 27 + len(lacing) + sum(lacing)
    return 8 * sum(packets[NUM_HEADER_PACKETS:])


def _opus(samples: np.ndarray, bits_per_s: int, programs: Programs) -> Coded:
    with tempfile.TemporaryDirectory() as folder:
        wav, coded, out_wav = (Path(folder) / name for name in ("in.wav", "coded.opus", "out.wav"))
        _write_wav(wav, samples, SAMPLE_RATE)
        programs.run(["opusenc", "--quiet", "--bitrate", f"{bits_per_s / 1000:g}", wav, coded])
        programs.run(["opusdec", "--quiet", "--rate", str(SAMPLE_RATE), coded, out_wav])
        return Coded(_fit(_read_wav(out_wav), len(samples)), ogg_payload_bits(coded.read_bytes()))


def _speex(samples: np.ndarray, quality: int, programs: Programs) -> Coded:
    with tempfile.TemporaryDirectory() as folder:
        wav, coded, out_wav = (Path(folder) / name for name in ("in.wav", "coded.spx", "out.wav"))
        _write_wav(wav, resample(samples, SAMPLE_RATE, TELEPHONE_RATE), TELEPHONE_RATE)
        programs.run(["speexenc", "--narrowband", "--quality", str(quality), wav, coded])
        programs.run(["speexdec", coded, out_wav])
        output = resample(_read_wav(out_wav), TELEPHONE_RATE, SAMPLE_RATE)
        return Coded(_fit(output, len(samples)), ogg_payload_bits(coded.read_bytes()))


def _codec2(samples: np.ndarray, bits_per_s: int, programs: Programs) -> Coded:
    with tempfile.TemporaryDirectory() as folder:
        mode = CODEC2_MODES[bits_per_s]
        # `.bin` and `.raw` have no header of their own.
        raw, coded, out_raw = (Path(folder) / name for name in ("in.raw", "coded.bin", "out.raw"))
        telephone = resample(samples, SAMPLE_RATE, TELEPHONE_RATE)
        # A frame has 20 or 40 ms, and what does not fill one is left out.
        padded = np.pad(telephone, (0, -len(telephone) % 320 + 320))
        (padded.clip(-1, 1) * 32_767).astype("<i2").tofile(raw)
        programs.run(["c2enc", mode, raw, coded])
        programs.run(["c2dec", mode, coded, out_raw])
        output = np.fromfile(out_raw, "<i2").astype(np.float32) / 32_768
        # The rate is constant; the file rounds each frame up to whole bytes.
        num_bits = round(bits_per_s * len(samples) / SAMPLE_RATE)
        return Coded(_fit(resample(output, TELEPHONE_RATE, SAMPLE_RATE), len(samples)), num_bits)


def _write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    import soundfile

    soundfile.write(path, samples.clip(-1, 1), sample_rate, subtype="PCM_16")


def _read_wav(path: Path) -> np.ndarray:
    import soundfile

    samples: np.ndarray = soundfile.read(path, dtype="float32", always_2d=True)[0][:, 0]
    return np.ascontiguousarray(samples)


def _fit(samples: np.ndarray, num_samples: int) -> np.ndarray:
    return np.pad(samples[:num_samples], (0, max(0, num_samples - len(samples))))
