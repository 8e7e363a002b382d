"""Words that a Whisper of transformers hears, for word error rates. Greedy, 30 s at most.

Reads    a local folder with `config.json`, `model.safetensors` and `tokenizer.json`
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import WHISPER_RATE, whisper_log_mel
from uniaudio.audio.resample import resample
from uniaudio.audio.torchaudio_cpu import import_torchaudio

_PROMPT = ("<|startoftranscript|>", "<|{language}|>", "<|transcribe|>", "<|notimestamps|>")
_END = "<|endoftext|>"
_MAX_TOKENS = 120


def load_recognizer(folder: str | Path) -> Callable[[np.ndarray, str], str | None]:
    """A function from `[N]` float32 at 24 kHz and the language spoken ("en") to text; None of a language it does not know."""
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"`recognizer` must be a folder of a Whisper with tokenizer.json, but {folder} is none.")
    import_torchaudio()
    with optional_packages():
        import transformers
        from tokenizers import Tokenizer

    try:
        model = transformers.WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True)
        model = model.float().eval()
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises nothing more special for a file that is none
        raise DataError(f"{folder}: not a Whisper of transformers: {error}") from error
    end = int(tokenizer.token_to_id(_END) or 0)

    @torch.inference_mode()
    def recognize(samples: np.ndarray, language: str) -> str | None:
        prompt = [tokenizer.token_to_id(token.format(language=language)) for token in _PROMPT]
        if None in prompt:
            return None
        speech = torch.from_numpy(resample(samples, SAMPLE_RATE, WHISPER_RATE))[None]
        states = model.model.encoder(whisper_log_mel(speech, num_mels=model.config.num_mel_bins))
        tokens = torch.tensor([prompt])
        cache = None
        for _ in range(_MAX_TOKENS):
            inputs = tokens if cache is None else tokens[:, -1:]
            out = model(encoder_outputs=states, decoder_input_ids=inputs, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            next_token = out.logits[:, -1, : end + 1].argmax(dim=-1)  # words or the end, no further control tokens
            if int(next_token) == end:
                break
            tokens = torch.cat([tokens, next_token[:, None]], dim=1)
        text: str = tokenizer.decode(tokens[0, len(prompt) :].tolist())
        return text.strip()

    return recognize
