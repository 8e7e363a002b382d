"""Spectrograms as PNG files, written with zlib alone.

Row in   [N] float32 samples
Row out  PNG, 160 pixels high (80 mel bands), one pixel a hop wide, low frequencies at the bottom
"""

import struct
import zlib

import numpy as np
import torch

from uniaudio.audio.mel import log_mel

_NUM_MELS, _BAND_PIXELS, _WINDOW = 80, 2, 1024
_RANGE = 9.2
"""Natural-log units (80 dB) from the darkest to the brightest pixel."""
_STOPS = np.array(
    [(8, 8, 20), (60, 20, 100), (150, 45, 110), (225, 95, 70), (250, 175, 65), (252, 250, 190)], dtype=np.float64
)
"""Dark to bright, of evenly rising lightness, so that it reads in gray too."""


def spectrogram_png(samples: np.ndarray, sample_rate: int, *, max_width: int = 800) -> bytes:
    """Log-mel spectrogram of `[N]` samples; long clips are averaged to `max_width` columns."""
    waveform = torch.from_numpy(np.pad(np.asarray(samples, np.float32), (0, max(0, _WINDOW - len(samples)))))
    mel_MT = log_mel(waveform[None], sample_rate, n_fft=_WINDOW, num_mels=_NUM_MELS)[0].numpy()
    width = min(max_width, mel_MT.shape[1])
    columns = np.array_split(mel_MT, width, axis=1)
    level_MW = np.stack([column.mean(axis=1) for column in columns], axis=1)
    level_MW = np.clip((level_MW - level_MW.max()) / _RANGE + 1, 0, 1)
    image_HW = np.repeat(level_MW[::-1], _BAND_PIXELS, axis=0)
    return png_bytes(_colors(image_HW))


def png_bytes(image_HW3: np.ndarray) -> bytes:
    """`[H, W, 3]` uint8 -> a PNG file."""
    height, width, _ = image_HW3.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image_HW3.reshape(height, width * 3)], axis=1)  # filter 0
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, no interlacing
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _colors(level_HW: np.ndarray) -> np.ndarray:
    position = level_HW * (len(_STOPS) - 1)
    below = np.minimum(position.astype(int), len(_STOPS) - 2)
    share = (position - below)[..., None]
    colors: np.ndarray = np.rint(_STOPS[below] * (1 - share) + _STOPS[below + 1] * share).astype(np.uint8)
    return colors
