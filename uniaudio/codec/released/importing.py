"""Released files to one safetensors folder that `ReasoningCodec.load` opens.

Reads    the codec's checkpoint, the scalar autoencoder's file and perhaps the music encoder's, in any order
Writes   `codec.safetensors`, `config.json`, and `import.json`: what was read, what was assumed, what was left out
Row      {"file": "sqcodec.pth", "sha256": "9c1f…", "holds": "scalar", "num_tensors": 238}

The codec's checkpoint holds its encoders too; `music_ssl.pt` fills in where it does not. Where it does, the
checkpoint's tensors are used, since its training moved them, and the report counts those that differ.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.codec import CONFIG_FILE, WEIGHTS_FILE, shell_state
from uniaudio.codec.config.parts import ScalarConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.reconstruction import PHONE_STRIDES
from uniaudio.codec.released.config import released_config
from uniaudio.codec.released.load import OPTIONAL_PREFIX, read_released, released_state
from uniaudio.codec.released.parts import State, equal
from uniaudio.codec.semantic_decoder import SemanticDecoder
from uniaudio.tensor_file import write_tensors

REPORT_FILE = "import.json"
MUSIC = "pretrained_model.model.model."
# A tensor that no other kind of file has.
MARKS = {
    "codec": "zero_cond_embedding1",
    "scalar": "decoder.0.bias",
    "music": "conv.conv.0.conv1.weight",
}


def import_released(
    files: Sequence[str | Path], out: str | Path, *, causal: bool = True, pad_whisper: bool = True
) -> dict[str, Any]:
    """Write the folder `out`; returns the report.

    `causal` says how the scalar autoencoder pads: no file shows it. `pad_whisper`: whether Whisper hears 30 s whatever
    the clip's length, as in the training of the released weights; at the real length most codes change.
    `UsageError` where a file is missing or given twice, `DataError` where a tensor is missing, unknown or misshapen.
    """
    states, rows = _read(files)
    released = dict(states["codec"])
    differing = _add_music(released, states.get("music"))
    config = replace(released_config(released, states["scalar"], causal=causal), pad_whisper=pad_whisper)
    state, missing = _state(config, released, states["scalar"])
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_tensors(state, out / WEIGHTS_FILE)
    report = {
        "files": rows,
        "size": config.size,
        "num_tensors": len(state),
        "num_parameters": sum(tensor.numel() for tensor in state.values()),
        "assumed": _assumed(config),
        "initialized_here": missing,
        "music_tensors_that_differ_from_the_checkpoint": differing,
    }
    (out / REPORT_FILE).write_text(json.dumps(report, indent=1))
    (out / CONFIG_FILE).write_text(config.to_json())
    return report


def _read(files: Sequence[str | Path]) -> tuple[dict[str, State], list[dict[str, Any]]]:
    states: dict[str, State] = {}
    rows: list[dict[str, Any]] = []
    for file in files:
        path = Path(file)
        if not path.is_file():
            raise UsageError(f"`FILE` must be a released file, but {path} is none.")
        tensors = read_released(path)
        kind = next((kind for kind, mark in MARKS.items() if mark in tensors or f"model.{mark}" in tensors), None)
        if kind is None:
            raise DataError(f"{path}: holds none of {', '.join(MARKS.values())}, so it is no released file.")
        if kind in states:
            raise UsageError(f"Each kind of file must be given once, but {path} is a second {kind} file.")
        states[kind] = tensors
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        rows.append({"file": path.name, "sha256": sha256, "holds": kind, "num_tensors": len(tensors)})
    for kind in ("codec", "scalar"):
        if kind not in states:
            raise UsageError(
                f"The files must hold a {kind} checkpoint, but only {', '.join(states) or 'nothing'} is there."
            )
    return states, rows


def _add_music(released: State, music: State | None) -> int | None:
    """Fill in the music encoder; how many of its tensors differ from those that are there."""
    if music is None:
        return None
    state = {MUSIC + key.removeprefix("model."): tensor for key, tensor in music.items()}
    if not any(key.startswith(MUSIC) for key in released):
        released.update(state)
        return 0
    return sum(key not in released or not equal(released[key], tensor) for key, tensor in state.items())


def _state(
    config: CodecConfig, released: Mapping[str, Tensor], scalar: Mapping[str, Tensor]
) -> tuple[State, list[str]]:
    """All tensors of our codec, and which of them no file holds."""
    shell = shell_state(config)
    state = released_state(shell, released, scalar)
    missing = sorted(shell.keys() - state.keys())
    if missing:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            decoder = SemanticDecoder(config.dim, config.wavlm.dim, config.wavlm.dim, PHONE_STRIDES)
        fresh = {OPTIONAL_PREFIX + key: tensor for key, tensor in decoder.state_dict().items()}
        state |= {key: fresh[key] for key in missing}
    return {key: tensor.to(shell[key].dtype).contiguous() for key, tensor in state.items()}, missing


def _assumed(config: CodecConfig) -> dict[str, Any]:
    """Settings that no tensor shows."""
    assert isinstance(config.scalar, ScalarConfig)  # as all released ones are
    return {
        "scalar.causal": config.scalar.causal,
        "pad_whisper": config.pad_whisper,
        "whisper.num_heads": config.whisper.num_heads,
        "flow.num_heads": config.flow.num_heads,
        "wavlm.layers": config.wavlm.layers,
        "music.layers": config.music.layers,
    }
