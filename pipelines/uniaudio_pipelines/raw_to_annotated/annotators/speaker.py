"""Who speaks, as a direction: GE2E speaker embedding (three LSTM layers over mel bands) with the weights Resemblyzer
carries."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY

# Shapes: B windows, T frames, M mel bands, F frequency bins, D width

_NUM_MELS, _WIDTH, _NUM_LAYERS = 40, 256, 3
_N_FFT, _HOP = 400, 160  # 25 ms and 10 ms
_WINDOW_FRAMES, _STEP_FRAMES = 160, 77  # 1.6 s windows, 1.3 a second
_TARGET_RMS = 10 ** (-30 / 20)
"""Quieter clips are raised to -30 dBFS, as in training."""
_MIN_SAMPLES = ANALYSIS_RATE // 2


class SpeakerEmbedding:
    name: ClassVar[str] = "speaker_embedding"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})

    def __init__(self, models: Path, device: str) -> None:
        path = model_files.require_model(models, model_files.SPEAKER_FOLDER, model_files.SPEAKER_FILE)
        self._network = _load(path)

    @classmethod
    def version(cls) -> str:
        return "ge2e-resemblyzer-0.1.4-1"

    def annotate(self, clip: Clip) -> list[Value]:
        voiced = _voiced(clip)
        if len(voiced) < _MIN_SAMPLES:
            return []
        embedding = self.embed(voiced)
        # Certain from about 5 s on: shorter clips scatter.
        return [
            Value(
                column="speaker_embedding",
                value=[round(float(value), 6) for value in embedding],
                confidence=round(min(1.0, len(voiced) / (5 * ANALYSIS_RATE)), 3),
            )
        ]

    def embed(self, samples: np.ndarray) -> np.ndarray:
        """`[N]` mono at 16 kHz -> `[256]` float32 of unit length: the mean of its windows' embeddings."""
        import torch

        rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
        loud = samples * np.float32(max(1.0, _TARGET_RMS / max(rms, 1e-9)))
        with torch.inference_mode():
            mean = self._network(_windows(_mel(torch.from_numpy(loud.astype(np.float32))))).mean(dim=0)
            return np.asarray(mean / mean.norm())


def _voiced(clip: Clip) -> np.ndarray:
    """The frames with speech, and one more on either side."""
    speech = clip.speech_probabilities >= SPEECH_PROBABILITY
    if not len(speech):
        return clip.analysis
    wide = speech | np.append(speech[1:], False) | np.insert(speech[:-1], 0, False)
    return clip.analysis[np.repeat(wide, FRAME)[: len(clip.analysis)]]


def _mel(samples_N: Any) -> Any:
    """`[N]` -> `[T, 40]` power in mel bands; not its logarithm."""
    import torch

    from uniaudio.audio.mel import mel_bands

    spectrum_FT = torch.stft(
        samples_N, _N_FFT, _HOP, window=torch.hann_window(_N_FFT), pad_mode="constant", return_complex=True
    )
    bands_FM = mel_bands(_N_FFT // 2 + 1, _NUM_MELS, ANALYSIS_RATE, scale="slaney").to(torch.float32)
    return spectrum_FT.abs().square().T @ bands_FM


def _windows(mel_TM: Any) -> Any:
    """`[T, M]` -> `[B, 160, M]`, overlapping; the last one counts where it is three quarters full."""
    import torch

    num_frames = mel_TM.shape[0]
    starts = [
        start
        for start in range(0, max(1, num_frames - _WINDOW_FRAMES + _STEP_FRAMES + 1), _STEP_FRAMES)
        if start == 0 or num_frames - start >= 0.75 * _WINDOW_FRAMES
    ]
    missing = max(0, starts[-1] + _WINDOW_FRAMES - num_frames)
    padded_TM = torch.nn.functional.pad(mel_TM, (0, 0, 0, missing))
    return torch.stack([padded_TM[start : start + _WINDOW_FRAMES] for start in starts])


def _load(path: Path) -> Any:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(_NUM_MELS, _WIDTH, _NUM_LAYERS, batch_first=True)
            self.linear = torch.nn.Linear(_WIDTH, _WIDTH)

        def forward(self, mel_BTM: torch.Tensor) -> torch.Tensor:
            hidden_BD = self.lstm(mel_BTM)[1][0][-1]
            return torch.nn.functional.normalize(torch.relu(self.linear(hidden_BD)), dim=1)

    network = Network()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    except (KeyError, RuntimeError, ValueError, EOFError) as error:
        raise DataError(f"{path}: does not hold the speaker network's weights: {error}") from error
    return network.eval()
