"""Phase `encoders`: WavLM, where the codec has one, and the music encoder learn to guess what they were not shown; afterwards they are frozen.

Spans of the input are hidden; of each hidden frame the encoder must name the class that a random projection of the clean
mel spectrogram falls into (BEST-RQ, Chiu et al. 2022: the quantizer is never trained). Whisper is not trained here.

Row in   step 17
Row out  {"loss": 9.8, "wavlm": 5.0, "music": 4.8, "wavlm_accuracy": 0.04, "music_accuracy": 0.05}
"""

# Shapes: B batch, N samples, M mel bands, T frames, F values a frame, C width in which classes are searched, K classes

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, pad

from uniaudio.audio.frames import SAMPLE_RATE, UNIT
from uniaudio.audio.mel import music_log_mel, whisper_log_mel
from uniaudio.audio.resample import resample_tensor
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.encoders.frozen import SPEECH_RATE, WAVLM_TAIL
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop, step_generator
from uniaudio.training.codec.objective import HeldOut, Losses, Share, drawn_crops, first_crops, mean

SPEECH_MEL_STACK, MUSIC_MEL_STACK = 2, 4
"""Mel frames (100 Hz) behind one frame of the encoder: 50 and 25 Hz."""
NUM_MUSIC_MELS, NUM_SPEECH_MELS = 128, 80
CLASS_DIM = 16
SPAN_S = 0.4
HIDDEN_SHARE = 0.4
"""About this share of the frames is hidden; spans may overlap."""
HIDDEN_NOISE = 0.1
"""Standard deviation of what stands in hidden frames of the music encoder's spectrogram (BEST-RQ)."""
NUM_STATISTICS_CLIPS = 32


class Hidden(NamedTuple):
    """The random draws of a batch, shared by all workers."""

    speech_BT: Tensor
    """50 Hz frames that are hidden, bool."""
    music_BT: Tensor
    """25 Hz frames that are hidden, bool."""
    noise_BMT: Tensor
    """Noise that replaces hidden frames of the music spectrogram, 100 Hz."""


class RandomQuantizer(nn.Module):
    """Normalized frames to the nearest of `num_classes` random directions in a random projection; learns nothing."""

    mean_F: Tensor
    scale_F: Tensor
    projection_FC: Tensor
    directions_KC: Tensor

    def __init__(self, num_values: int, num_classes: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("mean_F", torch.zeros(num_values))
        self.register_buffer("scale_F", torch.ones(num_values))
        projection_FC = torch.randn(num_values, CLASS_DIM, generator=generator) * num_values**-0.5
        self.register_buffer("projection_FC", projection_FC)
        directions_KC = torch.randn(num_classes, CLASS_DIM, generator=generator)
        self.register_buffer("directions_KC", normalize(directions_KC, dim=-1))

    def measure(self, frames_NF: Tensor) -> None:
        """Take mean and spread of each value from frames of the corpus, lest all frames fall into a few classes."""
        self.mean_F.copy_(frames_NF.mean(dim=0))
        self.scale_F.copy_(frames_NF.std(dim=0).clamp(min=1e-3))

    @torch.no_grad()
    def forward(self, frames_BTF: Tensor) -> Tensor:
        """`[B, T, F]` -> classes `[B, T]` int64."""
        projected_BTC = ((frames_BTF - self.mean_F) / self.scale_F) @ self.projection_FC
        return (normalize(projected_BTC, dim=-1) @ self.directions_KC.T).argmax(dim=-1)


class Guesser(nn.Module):
    """What phase `encoders` throws away: random quantizers, and a linear layer an encoder that names classes."""

    def __init__(self, codec: ReasoningCodec, num_classes: int, seed: int) -> None:
        super().__init__()
        self.speech_classes = RandomQuantizer(NUM_SPEECH_MELS * SPEECH_MEL_STACK, num_classes, seed)
        self.music_classes = RandomQuantizer(NUM_MUSIC_MELS * MUSIC_MEL_STACK, num_classes, seed + 1)
        self.speech_head = None if codec.encoders.wavlm is None else nn.Linear(codec.config.wavlm.dim, num_classes)
        self.music_head = nn.Linear(codec.config.music.dim, num_classes)


class EncodersObjective:
    """Cross-entropy of the hidden frames' classes, of both encoders in one loss."""

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet) -> None:
        self.codec, self.phase, self.train, self.held_out_clips = codec, phase, train, held_out
        self.guesser = Guesser(codec, phase.num_targets, phase.seed).to(codec.device)
        self.teacher: nn.Module = self.guesser
        self._measure()

    def crops(self, step: int) -> list[Crop]:
        return drawn_crops(self.train, self.phase, step)[1]

    def reads(self, crop: Crop) -> bool:
        return True

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        """One pass: the music encoder normalizes over all clips that it is given, so that several would have another loss."""
        generator, crops = drawn_crops(self.train, self.phase, step)
        hidden = self._draw(generator, crops)
        mine = slice(share.rank, None, share.world_size)
        yield self._losses(self.train, crops[mine], Hidden(*(draw[mine] for draw in hidden)))

    @torch.no_grad()
    def held_out(self, step: int) -> HeldOut:
        values = []
        for crop in first_crops(self.held_out_clips, self.phase):
            hidden = self._draw(step_generator(0, "held out", crop.clip), [crop])
            values.append(self._losses(self.held_out_clips, [crop], hidden)["loss"])
        return HeldOut(mean(values))

    def _losses(self, clips: ClipSet, crops: list[Crop], hidden: Hidden) -> Losses:
        waveform_BN = clips.crops(crops)
        music, music_accuracy = self._music(waveform_BN, hidden)
        losses = {"loss": music, "music": music, "music_accuracy": music_accuracy}
        if self.guesser.speech_head is not None:
            speech, speech_accuracy = self._speech(self.guesser.speech_head, waveform_BN, hidden.speech_BT)
            losses |= {"loss": speech + music, "wavlm": speech, "wavlm_accuracy": speech_accuracy}
        return losses

    def _speech(self, head: nn.Module, waveform_BN: Tensor, hidden_BT: Tensor) -> tuple[Tensor, Tensor]:
        speech_BN = resample_tensor(waveform_BN, SAMPLE_RATE, SPEECH_RATE)
        classes_BT = self.guesser.speech_classes(_speech_frames(speech_BN))
        model = self.codec.get_submodule("encoders.wavlm.model")
        states_BTD = model(pad(speech_BN, (0, WAVLM_TAIL)), mask_time_indices=hidden_BT).last_hidden_state
        return _guess(head(states_BTD), classes_BT, hidden_BT)

    def _music(self, waveform_BN: Tensor, hidden: Hidden) -> tuple[Tensor, Tensor]:
        mel_BMT = music_log_mel(waveform_BN)
        classes_BT = self.guesser.music_classes(_stack(mel_BMT, MUSIC_MEL_STACK))
        hidden_B1T = hidden.music_BT.repeat_interleave(MUSIC_MEL_STACK, dim=1)[:, None]
        shown_BMT = torch.where(hidden_B1T, HIDDEN_NOISE * hidden.noise_BMT, mel_BMT)
        states_BTD = self.codec.encoders.music.model.all_states(shown_BMT)[-1]  # type: ignore[union-attr, operator]
        return _guess(self.guesser.music_head(states_BTD), classes_BT, hidden.music_BT)

    @torch.no_grad()
    def _measure(self) -> None:
        """The spread of mel values over some clips of the training set: the same ones after a resume."""
        speech, music = [], []
        for index in range(min(len(self.train), NUM_STATISTICS_CLIPS)):
            waveform_BN = self.train.waveform(index)[None].to(self.codec.device)
            speech.append(_speech_frames(resample_tensor(waveform_BN, SAMPLE_RATE, SPEECH_RATE))[0])
            music.append(_stack(music_log_mel(waveform_BN), MUSIC_MEL_STACK)[0])
        self.guesser.speech_classes.measure(torch.cat(speech))
        self.guesser.music_classes.measure(torch.cat(music))

    def _draw(self, generator: np.random.Generator, crops: list[Crop]) -> Hidden:
        num_mel = crops[0].num_units * UNIT * 100 // SAMPLE_RATE
        speech, music = (
            torch.from_numpy(_spans(generator, len(crops), num_mel // stack, round(SPAN_S * 100 / stack)))
            for stack in (SPEECH_MEL_STACK, MUSIC_MEL_STACK)
        )
        noise = torch.from_numpy(generator.standard_normal((len(crops), NUM_MUSIC_MELS, num_mel), dtype=np.float32))
        return Hidden(*(draw.to(self.codec.device) for draw in (speech, music, noise)))


def _spans(generator: np.random.Generator, num_rows: int, num_frames: int, span: int) -> np.ndarray:
    """`[B, T]` bool: overlapping spans that hide about `HIDDEN_SHARE` of the frames, at least one span a row."""
    starts = generator.random((num_rows, num_frames)) < -np.log1p(-HIDDEN_SHARE) / span
    starts[np.arange(num_rows), generator.integers(max(1, num_frames - span + 1), size=num_rows)] = True
    hidden: np.ndarray = np.zeros_like(starts)
    for offset in range(min(span, num_frames)):
        hidden[:, offset:] |= starts[:, : num_frames - offset]
    return hidden


def _speech_frames(speech_BN: Tensor) -> Tensor:
    """16 kHz `[B, N]` -> `[B, N / 320, 160]`."""
    return _stack(whisper_log_mel(speech_BN, num_samples=None), SPEECH_MEL_STACK)


def _stack(mel_BMT: Tensor, stack: int) -> Tensor:
    """`[B, M, T]` -> `[B, T / stack, M * stack]`."""
    stacked_BTF: Tensor = mel_BMT.transpose(1, 2).unflatten(1, (-1, stack)).flatten(2)
    return stacked_BTF


def _guess(logits_BTK: Tensor, classes_BT: Tensor, hidden_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and accuracy over hidden frames."""
    logits_NK, classes_N = logits_BTK[hidden_BT], classes_BT[hidden_BT]
    return cross_entropy(logits_NK, classes_N), (logits_NK.detach().argmax(dim=-1) == classes_N).float().mean()
