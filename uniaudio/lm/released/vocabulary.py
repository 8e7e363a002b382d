"""The vocabulary of a released model, read from the authors' `llm_config.yaml`.

Reads    llm_config.yaml, the trainer's arguments: {"audio_reason_card": 4100, "audio_semantic_card": 8200, ...}

Reconstruction ("semantic") specials are stored without their offset `audio_reason_card`; audio-prompt specials with it.
"""

import logging
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.extras import optional_packages
from uniaudio_schemas.fingerprint import hash_json, short

from uniaudio.lm.config import LMConfig
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import TextTokenizer

log = logging.getLogger(__name__)

NUM_STREAMS = 9
# Renamed reserved ids of the LLaMA-3.2 tokenizer, as the released model was trained with them.
LLAMA_SPECIALS = {
    "bos": 128000, "eos": 128001, "think_start": 128002, "think_end": 128003, "answer_end": 128005,
    "transcription_start": 128011, "transcription_end": 128012, "lyric_start": 128013, "lyric_end": 128014,
    "caption_start": 128015, "caption_end": 128016, "answer_start": 128017,
}  # fmt: skip
REASONING_CODES, RECONSTRUCTION_CODES = 4096, 8192
"""Entries of a codebook of the released codec."""

REQUIRED = (
    "parallel_number", "audio_reason_card", "audio_semantic_card", "text_pad_token",
    "reason_bos", "reason_eos", "reason_pad_token", "semantic_bos", "semantic_eos", "semantic_pad_token",
)  # fmt: skip


def read_llm_config(path: Path) -> dict[str, Any]:
    """The fields of `llm_config.yaml`; Python objects in it are read as plain mappings, never built."""
    with optional_packages():
        import yaml

    class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
        """Maps `!!python/object:argparse.Namespace` and its like to a mapping."""

    def as_mapping(loader: Any, _suffix: str, node: Any) -> Any:
        return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None

    _PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", as_mapping)
    try:
        fields = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({str(error).splitlines()[0]}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text ({error}).") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path}: must hold a mapping, but holds {type(fields).__name__}.")
    return fields


def released_vocabulary(
    fields: dict[str, Any], config: LMConfig, path: Path, tokenizer: TextTokenizer | None = None
) -> Vocabulary:
    """The vocabulary that `fields` of `path` describe, checked against the sizes of the weights."""
    _check_fields(fields, config, path)
    specials = {name: token for name, token in LLAMA_SPECIALS.items() if token < config.text_size}
    specials["pad"] = fields["text_pad_token"]
    if tokenizer is not None and (wrong := {n: i for n, i in specials.items() if tokenizer.specials.get(n) != i}):
        raise UsageError(f"`tokenizer` must have the special ids {wrong}, but has {tokenizer.specials}.")
    fingerprint = short(hash_json(["llama-3.2", specials])) if tokenizer is None else tokenizer.fingerprint
    try:
        return Vocabulary(
            text_size=config.text_size,
            text_specials=specials,
            tokenizer_fingerprint=fingerprint,
            **_audio_ranges(fields, config.audio_size, path),
        )
    except UsageError as error:
        raise DataError(f"{path}: {error}") from error


def _check_fields(fields: dict[str, Any], config: LMConfig, path: Path) -> None:
    if missing := [name for name in REQUIRED if type(fields.get(name)) is not int]:
        raise DataError(f"{path}: `{missing[0]}` must be a whole number, but is {fields.get(missing[0])!r}.")
    if fields["parallel_number"] != NUM_STREAMS:
        raise DataError(f"{path}: `parallel_number` must be {NUM_STREAMS}, but is {fields['parallel_number']}.")
    audio_size = fields["audio_reason_card"] + fields["audio_semantic_card"]
    if audio_size != config.audio_size:
        raise DataError(
            f"{path}: `audio_reason_card` + `audio_semantic_card` must be the {config.audio_size} ids of audio_head, "
            f"but is {audio_size}."
        )


def _audio_ranges(fields: dict[str, Any], audio_size: int, path: Path) -> dict[str, int]:
    offset = fields["audio_reason_card"]
    reasoning = {"bos": fields["reason_bos"], "eos": fields["reason_eos"], "pad": fields["reason_pad_token"]}
    semantic = {"bos": fields["semantic_bos"], "eos": fields["semantic_eos"], "pad": fields["semantic_pad_token"]}
    num_reasoning = min(REASONING_CODES, *reasoning.values())
    num_reconstruction = min(RECONSTRUCTION_CODES, *semantic.values())
    ids = {f"reasoning_{name}": token for name, token in reasoning.items()}
    ids |= {f"reconstruction_{name}": token + offset for name, token in semantic.items()}
    used_ids = {*range(num_reasoning), *range(offset, offset + num_reconstruction), *ids.values()}
    return {
        "reasoning_codes": num_reasoning,
        "reconstruction_offset": offset,
        "reconstruction_codes": num_reconstruction,
        "audio_size": audio_size,
        **ids,
        **_audio_prompt_ids(fields, used_ids, audio_size, path),
    }


def _audio_prompt_ids(fields: dict[str, Any], taken: set[int], audio_size: int, path: Path) -> dict[str, int]:
    """Begin and end of the audio prompt; the authors' defaults lie on reconstruction codes, then free ids stand in."""
    stated = [fields.get(f"audio_prompt_{name}") for name in ("bos", "eos")]
    if all(isinstance(token, int) and token < audio_size and token not in taken for token in stated):
        return {"audio_prompt_bos": int(stated[0] or 0), "audio_prompt_eos": int(stated[1] or 0)}
    free = [token for token in reversed(range(audio_size)) if token not in taken][:2]
    if len(free) < 2:
        raise DataError(f"{path}: `audio_prompt_bos` and `audio_prompt_eos` must be free ids, but none is free.")
    log.warning("%s: audio prompt ids %s are missing or taken; tasks with an audio prompt will not work", path, stated)
    return {"audio_prompt_bos": free[1], "audio_prompt_eos": free[0]}
