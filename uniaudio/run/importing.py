"""Makes a whole model folder of other people's weights: weights, vocabulary, tokenizer, codec and what it was trained on.

Reads    a released checkpoint and its llm_config.yaml, or a LlamaForCausalLM folder
Writes   what `uniaudio.run.folder` reads
"""

from pathlib import Path

import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.lm import weights
from uniaudio.lm.config import LMConfig
from uniaudio.lm.pretrained import from_llama
from uniaudio.lm.released.load import import_released
from uniaudio.lm.released.vocabulary import REASONING_CODES, RECONSTRUCTION_CODES
from uniaudio.run.folder import CODEC_FOLDER, check_codec, copy_tokenizer, write_about
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.tasks.sentences import GROUP
from uniaudio.text.tokenizer import ByteTokenizer, HuggingFaceTokenizer, TextTokenizer


def import_release(
    checkpoint: Path,
    llm_config: Path,
    out: Path,
    *,
    tokenizer: Path | None = None,
    codec: Path | None = None,
    dtype: str | None = None,
    skip_objects: bool = False,
) -> LMConfig:
    """A released checkpoint; it knows the tasks that the authors' code has, and few-shot ones: it ends with stage 4."""
    text_tokenizer = HuggingFaceTokenizer.from_folder(tokenizer) if tokenizer else None
    loaded_codec = ReasoningCodec.load(codec) if codec else None

    def check(vocabulary: Vocabulary) -> None:
        if loaded_codec is not None:
            check_codec(loaded_codec, vocabulary, str(codec))

    config = import_released(
        checkpoint,
        llm_config,
        out,
        dtype=_dtype(dtype),
        tokenizer=text_tokenizer,
        skip_objects=skip_objects,
        check=check,
    )
    _finish(out, tokenizer, loaded_codec, [*(name for name, task in TASKS.items() if task.authors_name), GROUP])
    return config


BYTES = Path("bytes")
"""Stands in place of a tokenizer's folder: ids are bytes."""
_OTHER_TOKENIZERS = (
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer_config.json",
)


def import_llama(
    folder: Path,
    out: Path,
    *,
    tokenizer: Path | None = None,
    codec: Path | None = None,
    size: str = "starter",
    seed: int = 0,
    dtype: str | None = None,
) -> LMConfig:
    """A text model as the backbone of a fresh model of `size`; it knows text alone until it is trained."""
    if out.resolve() == folder.resolve():
        raise UsageError(f"`--out` must be another folder than the text model's, but is {out}.")
    loaded_codec = ReasoningCodec.load(codec) if codec else None
    tokenizer_folder = _tokenizer_of(folder, tokenizer)
    reader: TextTokenizer = HuggingFaceTokenizer.from_folder(tokenizer_folder) if tokenizer_folder else ByteTokenizer()
    num_reasoning = loaded_codec.config.reasoning_codebook_size if loaded_codec else REASONING_CODES
    num_reconstruction = loaded_codec.config.reconstruction_codebook_size if loaded_codec else RECONSTRUCTION_CODES
    vocabulary = Vocabulary.build(reader, num_reasoning, num_reconstruction)
    model = from_llama(folder, LMConfig.preset(size, vocabulary), seed=seed)
    weights.save(model.state_dict(), model.config, out, dtype=_dtype(dtype))
    (out / weights.VOCABULARY_FILE).write_text(vocabulary.to_json(), encoding="utf-8")
    _finish(out, tokenizer_folder, loaded_codec, ["text_only"])
    return model.config


def _tokenizer_of(folder: Path, tokenizer: Path | None) -> Path | None:
    """The folder whose tokenizer.json reads text; None for bytes, which only somebody who knows the model can choose."""
    if tokenizer is not None:
        return None if tokenizer == BYTES else tokenizer
    if (folder / "tokenizer.json").is_file():
        return folder
    if not (folder / "config.json").is_file():
        return None  # no model at all, as reading it will say
    others = sorted(path.name for path in folder.glob("*") if path.name in _OTHER_TOKENIZERS)
    has = f"has {', '.join(others)} alone" if others else "has no tokenizer"
    raise UsageError(
        f"{folder} must hold a tokenizer.json, without which every text would become other pieces of the model, but {has}: make one "
        "with `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)` of transformers, name another folder with `--tokenizer`, "
        "or say `--tokenizer bytes` where the model's ids are bytes."
    )


def _finish(out: Path, tokenizer: Path | None, codec: ReasoningCodec | None, tasks: list[str]) -> None:
    if tokenizer is not None:
        copy_tokenizer(tokenizer, out)
    if codec is not None:
        codec.save(out / CODEC_FOLDER)
    write_about(out, tasks, codec.fingerprint if codec else "")


def _dtype(name: str | None) -> torch.dtype | None:
    return None if name is None else getattr(torch, name)
