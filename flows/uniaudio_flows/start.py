"""What training starts from, told by one word that the flows from `sequences` on agree on.

""                                 UNIAUDIO_BACKBONE, and without one fresh weights and text in bytes
/models/SmolLM2-135M               folder of a text LLM: config.json of a LlamaForCausalLM, tokenizer.json
/models/released                   folder of a whole model: what `uniaudio lm import` and `uniaudio lm export` write
stage3                             ref of a checkpoint in the store
"""

from dataclasses import dataclass
from pathlib import Path

from uniaudio_pipelines.tokens_to_sequences.job import BYTES
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store

from uniaudio_flows.settings import Settings

VOCABULARY_FILE, CONFIG_FILE, TOKENIZER_FILE = "vocabulary.json", "config.json", "tokenizer.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    backbone: str = ""
    model: str = ""
    parent: str = ""
    """Fields of the job `sequences_to_checkpoint`; one at most is not empty."""
    vocabulary: str = BYTES
    """Text vocabulary of the sequences: `bytes`, or the folder of the text LLM or of the whole model."""
    tokenizer: str = ""
    """Folder of the text tokenizer; empty: bytes."""


def find_start(settings: Settings) -> Start:
    """UsageError where `settings.start` is none of these."""
    start, backbone = settings.start, settings.backbone
    folder = Path(start or backbone).expanduser()
    if not start and not backbone:
        return Start()
    if (folder / VOCABULARY_FILE).is_file():
        path = str(folder.resolve())
        tokenizer = folder.resolve() / "tokenizer"
        return Start(model=path, vocabulary=path, tokenizer=str(tokenizer) if tokenizer.is_dir() else "")
    # Of the setting, what is wrong with it is said by the edge that reads it.
    if not start or ((folder / CONFIG_FILE).is_file() and (folder / TOKENIZER_FILE).is_file()):
        path = str(folder.resolve())
        return Start(backbone=path, vocabulary=path, tokenizer=path)
    if "/" in start or Store.from_uri(settings.store).head("checkpoint", start) is None:
        raise UsageError(
            f"`start` must be a folder with a text LLM ({CONFIG_FILE}, {TOKENIZER_FILE}), one with a whole model "
            f"({VOCABULARY_FILE}), or a ref of `checkpoint` such as stage3, but is {start}."
        )
    return Start(parent=start, vocabulary=backbone or BYTES, tokenizer=backbone)
