"""Embeddings of sentences by what they mean, for captions that say the same in other words.

The network is MiniLM's (Wang et al. 2020) as trained on pairs of English sentences (all-MiniLM-L6-v2): a BERT of six layers, whose mean over the
tokens is the sentence. Texts in other languages have embeddings too, which mean little.

Reads    a local folder with `config.json`, `model.safetensors` and `tokenizer.json`
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.torchaudio_cpu import import_torchaudio

_MOST_TOKENS = 256
"""Length that the network was trained with; what follows is cut off."""
_MOST_KNOWN = 4_096


def load_sentence_encoder(folder: str | Path) -> Callable[[str], np.ndarray]:
    """A function from a text to `[384]` float32 of unit length. UsageError where the folder has no such model, DataError where its files are none."""
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"`sentences` must be a folder of a BERT with tokenizer.json, but {folder} is none.")
    import_torchaudio()
    with optional_packages():
        import transformers
        from tokenizers import Tokenizer

    try:
        model = transformers.BertModel.from_pretrained(folder, local_files_only=True)
        model = model.float().eval()
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises nothing more special for a file that is none
        raise DataError(f"{folder}: not a BERT of transformers: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MOST_TOKENS)

    @lru_cache(_MOST_KNOWN)
    @torch.inference_mode()
    def embed(text: str) -> np.ndarray:
        ids_1T = torch.tensor([tokenizer.encode(text).ids])
        mean_D = model(ids_1T).last_hidden_state[0].mean(dim=0)
        return np.asarray(torch.nn.functional.normalize(mean_D, dim=0))

    return embed
