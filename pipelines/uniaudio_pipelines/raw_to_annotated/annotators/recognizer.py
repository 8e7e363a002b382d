"""Words that a Whisper of openai-whisper hears, when, and how sure it is: the same for every annotator that needs them.

Reads    `<models>/<folder>/openai.pt`, or the one `.pt` in a folder that somebody else filled
Gives    Heard(text="Let's go.", words=[("Let's", 1200, 3300, .91), …], language="en", language_probability=.99, …)

openai-whisper and its models are under the MIT licence. whisper-timestamped, which is often used for word times, is
under the AGPL-3.0 and is not needed: openai-whisper times words by the same attention heads.

Whisper's encoder always works on 30 s; a prompt of 3 s costs as much. Here it sees the clip and silence up to the next
10 s, and 30 s only where Whisper itself doubts what it then heard. Whisper fills a spectrogram up with zeros, which are
not silence but a noise 20 dB above its floor; with few of them behind a clip the decoder may say a sentence again and
again. Here the floor itself stands there, as in Whisper's training. On 300 clips with a script, of 1 to 30 s: word error
rate 10.2 % in English and 69.0 % in Czech so, 10.2 and 69.6 % with 30 s at 1.65 times the cost, 10.4 and 69.2 % with 3 s of
silence at 0.87 of it; two, one and two transcripts with a loop. On 60 of 1 to 8 s: 9.5 % with 3 s of zeros, 7.4 % so.
"""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Word

from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE

_MEL_FRAMES_A_SECOND = 100
_WINDOW = 3_000
"""Frames of the encoder's whole window: 30 s."""
_WINDOW_STEP = 1_000
_LEAST_SILENCE = 100
"""Frames behind a clip in a shortened window."""
_TEMPERATURES = (0.0, 0.4, 0.8)
"""Greedy; sampled again where the text is repetitive or improbable. Without the way out greedy decoding can loop."""
_SEED = 0
_LEAST_TOKENS, _TOKENS_A_SECOND = 24, 30
"""Nobody says more: fast speech has 8 tokens a second in English and 30 in a script of which Whisper has single bytes. A
loop would else go on to the end of Whisper's context, at each temperature."""
_MIN_LOG_PROBABILITY, _MAX_COMPRESSION, _NO_SPEECH = -1.0, 2.4, 0.6
"""Whisper's own thresholds: of a mean token, of bytes over bytes after zlib, and of silence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What was heard in one clip; without text nothing was."""

    text: str
    words: list[Word]
    """Words as the recognizer times them: some may have no length, or lie behind the clip's end."""
    language: str
    language_probability: float | None
    """Probability of that language; None where the recognizer knows one language alone."""
    no_speech_probability: float | None
    """The greatest value of all windows."""

    @property
    def confidence(self) -> float:
        return round(float(np.mean([word.confidence for word in self.words])), 4) if self.words else 0.0


class Recognizer:
    """One Whisper on one device, for one clip at a time: on a CPU a batch gains nothing."""

    def __init__(self, models: Path, folder: str, device: str, annotator: str) -> None:
        packages.require_package("whisper", annotator)
        path = _weights(models, folder)
        import whisper

        self._whisper: Any = whisper
        self._model = whisper.load_model(str(path), device=device)
        # A model by path does not say which of its heads follow the time; without them half of all are taken.
        heads = getattr(whisper, "_ALIGNMENT_HEADS", {}).get(folder.removeprefix("whisper-"))
        if heads is not None:
            self._model.set_alignment_heads(heads)
        self._half = self._model.device.type == "cuda"
        self._encoder = _ShortEncoder(self._model.encoder)
        _compile_timing()

    def language_code(self, language: str | None) -> str | None:
        """Whisper's code of a language as a source names it ("en-US", "German"); None where it knows none."""
        from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

        name = (language or "").lower()
        code = TO_LANGUAGE_CODE.get(name, name.replace("_", "-").split("-")[0])
        return code if code in LANGUAGES and (self._model.is_multilingual or code == "en") else None

    def recognize(self, analysis_N: np.ndarray, sample_rate: int, language: str | None = None) -> Heard:
        """`[N]` float32 mono at 16 kHz -> what is said, with word times at `sample_rate`; the language by ear where it
        is None."""
        import torch

        samples_N = np.ascontiguousarray(analysis_N, np.float32)
        num_frames = math.ceil(len(samples_N) * _MEL_FRAMES_A_SECOND / ANALYSIS_RATE)
        self._encoder.keep(_short_window(num_frames))
        with torch.inference_mode():
            mel_MT = self._log_mel(samples_N)
            probabilities = dict(self._model.detect_language(mel_MT)[1]) if self._model.is_multilingual else {}
            language = language or max(probabilities, key=lambda code: probabilities[code], default="en")
            fits = num_frames <= _WINDOW
            segments = self._hear(mel_MT, num_frames, language) if fits else self._transcribe(samples_N, language)
        return Heard(
            text=" ".join("".join(str(segment["text"]) for segment in segments).split()),
            words=_words([word for segment in segments for word in segment.get("words", [])], sample_rate),
            language=language,
            language_probability=_rounded(probabilities.get(language)),
            no_speech_probability=_rounded(max((segment["no_speech_prob"] for segment in segments), default=None)),
        )

    def _log_mel(self, samples_N: np.ndarray) -> Any:
        """The first 30 s as Whisper's own loop makes them, filled up with zeros."""
        whisper, num_mels = self._whisper, self._model.dims.n_mels
        mel_MT = whisper.log_mel_spectrogram(
            samples_N, num_mels, padding=whisper.audio.N_SAMPLES, device=self._model.device
        )
        mel_MT = whisper.pad_or_trim(mel_MT[:, : mel_MT.shape[-1] - _WINDOW], _WINDOW)
        return mel_MT.half() if self._half else mel_MT

    def _hear(self, mel_MT: Any, num_frames: int, language: str) -> list[dict[str, Any]]:
        """What is said in one window, as one segment with words; none where Whisper hears no speech.

        One pass a window: Whisper's own loop starts again behind what it has timed, and may invent from the rest.
        """
        from whisper.timing import add_word_timestamps
        from whisper.tokenizer import get_tokenizer

        result = self._decode(mel_MT, num_frames, language)
        if result is None:
            return []
        model = self._model
        tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages, language=language)
        times = [token - tokenizer.timestamp_begin for token in result.tokens if token >= tokenizer.timestamp_begin]
        first, last = (times[0], times[-1]) if times else (0, num_frames // 2)  # a time is two frames
        segment = {
            "seek": 0,
            "start": 2 * first / _MEL_FRAMES_A_SECOND,
            "end": 2 * last / _MEL_FRAMES_A_SECOND,
            "tokens": result.tokens,
            "text": result.text,
            "no_speech_prob": result.no_speech_prob,
        }
        add_word_timestamps(
            segments=[segment],
            model=model,
            tokenizer=tokenizer,
            mel=mel_MT,
            num_frames=num_frames,
            last_speech_timestamp=0.0,
        )
        return [segment]

    def _decode(self, mel_MT: Any, num_frames: int, language: str) -> Any:
        """The first answer Whisper does not doubt, else the last; None for silence."""
        import torch

        most_tokens = _most_tokens(num_frames, self._model.dims.n_text_ctx // 2)
        windows = [_short_window(num_frames)] + [_WINDOW] * len(_TEMPERATURES)
        temperatures = [_TEMPERATURES[0], *_TEMPERATURES]
        for window, temperature in dict.fromkeys(zip(windows, temperatures, strict=True)):
            self._encoder.keep(window)
            torch.manual_seed(_SEED)
            options = self._whisper.DecodingOptions(
                language=language, temperature=temperature, fp16=self._half, sample_len=most_tokens
            )
            result = self._whisper.decode(self._model, mel_MT, options)
            ends = len(result.tokens) < most_tokens
            improbable = result.avg_logprob < _MIN_LOG_PROBABILITY
            if window == _WINDOW and (not result.text or (improbable and result.no_speech_prob > _NO_SPEECH)):
                return None
            if result.text and ends and not improbable and result.compression_ratio <= _MAX_COMPRESSION:
                break
        return result

    def _transcribe(self, samples_N: np.ndarray, language: str) -> list[dict[str, Any]]:
        """Transcribe more than one window by Whisper's own loop."""
        import torch

        self._encoder.keep(_WINDOW)
        torch.manual_seed(_SEED)
        result = self._whisper.transcribe(
            self._model,
            samples_N,
            language=language,
            temperature=_TEMPERATURES,
            condition_on_previous_text=False,
            word_timestamps=True,
            verbose=None,
            fp16=self._half,
        )
        return list(result["segments"])


def _compile_timing() -> None:
    """Have numba compile what times words, and leave torch the threads it had: when numba first runs, it sets their number
    to that of all cores, for the whole process. What it compiled is kept on disk where it can be, beside whisper or in the home: it is
    two fifths of what the start of a worker costs."""
    import torch
    from whisper.timing import backtrace, dtw_cpu

    for compiled in (backtrace, dtw_cpu):
        with suppress(RuntimeError):  # no folder can be written to
            compiled.enable_caching()
    num_threads = torch.get_num_threads()
    dtw_cpu(np.zeros((1, 1)))
    torch.set_num_threads(num_threads)


def _most_tokens(num_frames: int, context: int) -> int:
    """Most tokens of an answer; one that is as long is not finished."""
    return min(_LEAST_TOKENS + num_frames * _TOKENS_A_SECOND // _MEL_FRAMES_A_SECOND, context)


def _short_window(num_frames: int) -> int:
    return min(-(-(num_frames + _LEAST_SILENCE) // _WINDOW_STEP) * _WINDOW_STEP, _WINDOW)


def _weights(models: Path, folder: str) -> Path:
    weight_files = sorted((Path(models) / folder).glob("*.pt"))
    if len(weight_files) > 1 and not (Path(models) / folder / model_files.WHISPER_FILE).is_file():
        raise UsageError(
            f"{Path(models) / folder} must hold one .pt, but holds {', '.join(path.name for path in weight_files)}."
        )
    if len(weight_files) == 1:
        return weight_files[0]
    return model_files.require_model(models, folder, model_files.WHISPER_FILE)


def _words(found: list[dict[str, Any]], sample_rate: int) -> list[Word]:
    """Whisper's words at `sample_rate`, as spaces divide the text: what Whisper splits ("50" and "%") is one again."""
    words: list[Word] = []
    for word in found:
        text = str(word["word"])
        if not text.strip():
            continue
        first = round(float(word["start"]) * sample_rate)
        length = max(round(float(word["end"]) * sample_rate) - first, 0)
        if words and _continues(words[-1].word, text):
            first, length = words[-1].first_sample, max(first + length - words[-1].first_sample, words[-1].num_samples)
            words[-1] = replace(words[-1], word=words[-1].word + text.strip(), num_samples=length)
        else:
            confidence = round(float(word["probability"]), 4)
            words.append(Word(word=text.strip(), first_sample=first, num_samples=length, confidence=confidence))
    return words


def _continues(before: str, text: str) -> bool:
    """Whether `text` belongs to the word before it: a mark, or what no space divides in a script with spaces."""
    from uniaudio.text.normalization import is_spaceless

    if not any(letter.isalnum() for letter in text):
        return True
    last = next((letter for letter in reversed(before) if letter.isalnum()), before[-1])
    return not (text[0].isspace() or is_spaceless(text[0]) or is_spaceless(last))


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(float(probability), 4)


class _ShortEncoder:
    """Replaces an openai-whisper encoder's `forward` by one that stops after the frames to keep, hears silence where
    there is no clip, and computes equal inputs once.

    Recognizing the language, decoding and timing words each encode the same frames.
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._num_frames = _WINDOW
        self._last: tuple[Any, Any] | None = None
        encoder.forward = self.forward

    def keep(self, num_frames: int) -> None:
        self._num_frames = min(num_frames, _WINDOW)

    def forward(self, mel_BMT: Any) -> Any:
        import torch
        from torch.nn.functional import gelu

        mel_BMT = mel_BMT[:, :, : self._num_frames]
        filled_B1T = (mel_BMT == 0).all(dim=1, keepdim=True)
        mel_BMT = torch.where(filled_B1T, mel_BMT.amin(dim=(1, 2), keepdim=True), mel_BMT)
        if self._last is not None and torch.equal(self._last[0], mel_BMT):
            return self._last[1]
        encoder = self._encoder
        hidden_BTD = gelu(encoder.conv2(gelu(encoder.conv1(mel_BMT)))).permute(0, 2, 1)
        hidden_BTD = (hidden_BTD + encoder.positional_embedding[: hidden_BTD.shape[1]]).to(mel_BMT.dtype)
        for block in encoder.blocks:
            hidden_BTD = block(hidden_BTD)
        self._last = (mel_BMT, encoder.ln_post(hidden_BTD))
        return self._last[1]
