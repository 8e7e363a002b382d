"""DNSMOS P.835 and P.808 (Reddy et al. 2021, 2022): predicted opinion of noisy speech without a reference, 1 to 5,
higher is better.

The networks are the onnx files inside the `speechmos` package (offline), run through onnxruntime on one thread. The
package's own code is not used: it needs librosa, and doubles short clips without bound where they are empty.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.loudness import is_silent
from uniaudio.audio.mel import mel_bands
from uniaudio.audio.resample import resample

_RATE = 16_000
_WINDOW_S = 9.01  # the networks' only length
WINDOW_SAMPLES = 144_160
NETWORK = "dnsmos_models/sig_bak_ovr.onnx"
"""In the package: signal, background and overall of a window."""
# The published maps from the network's raw output to opinion scores, highest power first.
_SIGNAL = (-0.08397278, 1.22083953, 0.0052439)
_BACKGROUND = (-0.13166888, 1.60915514, -0.39604546)
_OVERALL = (-0.06766283, 1.11546468, 0.04602535)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dnsmos:
    overall: float
    signal: float
    """How little the speech itself is distorted."""
    background: float
    """How little the background disturbs."""
    p808: float
    """Overall, by the network trained on P.808 ratings."""


def dnsmos(samples: np.ndarray, sample_rate: int) -> Dnsmos | None:
    """DNSMOS of `[N]` float speech (full scale 1): the mean over windows of 9.01 s, one each second. Shorter clips are repeated.
    None for silent or empty clips.
    """
    if not len(samples) or is_silent(samples):
        return None
    speech = np.clip(resample(samples, sample_rate, _RATE), -1.0, 1.0)
    # As the networks' authors do, so that numbers compare with theirs: short clips are doubled until they fill a window,
    # and the number of windows follows from the whole seconds.
    while len(speech) < WINDOW_SAMPLES:
        speech = np.concatenate([speech, speech])
    num_windows = int(len(speech) // _RATE - _WINDOW_S) + 1
    starts = range(0, min(num_windows * _RATE, len(speech) - WINDOW_SAMPLES + 1), _RATE)
    signal, background, overall, p808 = np.mean(
        [_score(speech[first : first + WINDOW_SAMPLES]) for first in starts], axis=0
    )
    return Dnsmos(overall=float(overall), signal=float(signal), background=float(background), p808=float(p808))


def _score(window: np.ndarray) -> tuple[float, float, float, float]:
    main, listener = _sessions()
    raw = main.run(None, {"input_1": window[None].astype(np.float32)})[0][0]
    signal, background = (
        np.polyval(curve, value) for curve, value in zip((_SIGNAL, _BACKGROUND), raw[:2], strict=True)
    )
    p808 = listener.run(None, {"input_1": _log_mel(window[:-160])[None]})[0][0][0]
    return float(signal), float(background), overall_opinion(raw), float(p808)


def overall_opinion(raw: np.ndarray) -> float:
    """On the scale of opinions, of what `NETWORK` gives for one window."""
    return float(np.polyval(_OVERALL, raw[2]))


def _log_mel(window: np.ndarray) -> np.ndarray:
    """`[T, 120]` float32: 120 Slaney mel bands (window 321, hop 160) in decibels below the maximum, at most 80,
    scaled to about -1 to 1.
    """
    samples = torch.from_numpy(np.asarray(window, np.float32))
    spectrum = torch.stft(samples, 321, 160, window=torch.hann_window(321), pad_mode="constant", return_complex=True)
    mel_MT = mel_bands(161, 120, _RATE, scale="slaney", n_fft=321).T @ (spectrum.abs() ** 2)
    decibel_MT = 10 * mel_MT.clamp(min=1e-10).log10()
    decibel_MT = (decibel_MT - decibel_MT.max()).clamp(min=-80.0)
    return ((decibel_MT.T + 40) / 40).contiguous().numpy()


@lru_cache(maxsize=1)
def _sessions() -> tuple[Any, Any]:
    with optional_packages():
        import onnxruntime

    spec = find_spec("speechmos")  # located, not imported: importing it needs librosa
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("speechmos must be installed for DNSMOS: `pip install 'uniaudio[annotate]'`.")
    folder = Path(spec.submodule_search_locations[0])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    files = (folder / NETWORK, folder / "dnsmos_models/model_v8.onnx")
    return tuple(onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]) for file in files)
