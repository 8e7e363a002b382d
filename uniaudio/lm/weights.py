"""Weights on disk: safetensors files and a `config.json`, read without copying through pickle.

Writes   config.json  model.safetensors   (above 4 GB: model-00001-of-00002.safetensors ... and an index)
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.plain import json_object

from uniaudio.lm.config import LMConfig
from uniaudio.tensor_file import write_tensors

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
VOCABULARY_FILE = "vocabulary.json"
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
MAX_FILE_BYTES = 4 << 30
MODEL_TYPE = "uniaudio"
"""Model type by which transformers and hubs tell models apart."""
_OF_TRANSFORMERS = ("model_type", "architectures", "dtype")
"""Fields of `config.json` that say nothing of the model's shape."""


def save(
    state: Mapping[str, Tensor],
    config: LMConfig,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> None:
    """Writes `config` and `state` to `folder`, tensors in name order, as `dtype` or their own; older weights there go."""
    folder.mkdir(parents=True, exist_ok=True)
    # An index left behind would bring older weights back. And `state` may be mapped from these files: what is unlinked stays
    # readable, what is written over does not.
    for old in (*folder.glob("model*.safetensors"), folder / INDEX_FILE):
        old.unlink(missing_ok=True)
    file_dtype = dtype or next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    about = {"model_type": MODEL_TYPE, "architectures": ["UniAudioLM"], "dtype": str(file_dtype).removeprefix("torch.")}
    fields = json.loads(config.to_json()) | about
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    groups = _group(state, max_file_bytes)
    if len(groups) == 1:
        write_tensors(_ready(state, groups[0], dtype), folder / WEIGHTS_FILE)
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(groups, start=1):
        file_name = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        write_tensors(_ready(state, names, dtype), folder / file_name)
        weight_map.update(dict.fromkeys(names, file_name))
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}, indent=2, sort_keys=True) + "\n")


def read_config(folder: Path) -> LMConfig:
    """The config that `save` wrote."""
    path = folder / CONFIG_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    fields = {name: value for name, value in json_object(text, str(path)).items() if name not in _OF_TRANSFORMERS}
    return LMConfig.from_json(json.dumps(fields), name=str(path))


def read_tensors(folder: Path, device: str = "cpu") -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, file by file, memory-mapped."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if (folder / INDEX_FILE).exists():
        files = [folder / name for name in _indexed_files(folder / INDEX_FILE)]
    if not files:
        raise DataError(f"{folder}: holds no *.safetensors file.")
    for path in files:
        if not path.is_file():
            raise DataError(f"{path}: named by {INDEX_FILE}, but there is no such file.")
        try:
            with safe_open(path, framework="pt", device=device) as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    yield name, tensors.get_tensor(name)
        except SafetensorError as error:
            raise DataError(f"{path}: not a safetensors file ({error}).") from error


def _indexed_files(path: Path) -> list[str]:
    weight_map = json_object(path.read_bytes(), str(path)).get("weight_map")
    if not isinstance(weight_map, dict):
        raise DataError(f"{path}: must map tensors to files by `weight_map`, but holds none.")
    names = sorted({str(name) for name in weight_map.values()})
    if outside := [name for name in names if Path(name).name != name]:
        raise DataError(f"{path}: must name files of its own folder, but names {outside[0]}.")
    return names


def load_into(model: nn.Module, folder: Path, *, device: torch.device, dtype: torch.dtype | None) -> None:
    """Fills a model on the meta device; every key must fit. Tensors of several types all become the widest."""
    state = {name: tensor.to(device=device, dtype=dtype) for name, tensor in read_tensors(folder)}
    check_state(state, {name: tuple(p.shape) for name, p in model.state_dict().items()}, folder)
    widest = reduce(torch.promote_types, {tensor.dtype for tensor in state.values()})
    model.load_state_dict({name: tensor.to(widest) for name, tensor in state.items()}, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def check_state(
    state: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    source: Path,
    their_name: Callable[[str], str] = str,
) -> None:
    """Raises a `DataError` that names the first missing, left-over, misshapen or broken keys, as `source` calls them."""
    problems = [f"{their_name(name)} is missing" for name in shapes if name not in state]
    problems += [f"{their_name(name)} is left over" for name in state if name not in shapes]
    problems += [
        f"{their_name(name)} must be {list(shapes[name])}, but is {list(tensor.shape)}"
        for name, tensor in state.items()
        if name in shapes and tuple(tensor.shape) != shapes[name]
    ]
    if not problems:
        problems = [f"{their_name(name)} {problem}" for name, problem in _broken(state)]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(f"{source}: {'; '.join(problems[:3])}{more}.")


def _broken(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Tensors that no model can compute with, and why."""
    for name, tensor in state.items():
        if tensor.dtype not in DTYPES or tensor.layout != torch.strided or tensor.is_meta:
            yield name, f"must hold dense floating-point numbers, but holds {tensor.layout} {tensor.dtype}"
        # A sum is read once and needs no memory; only where it is not finite the numbers are looked at one by one.
        elif not tensor.sum(dtype=torch.float32).isfinite() and not tensor.isfinite().all():
            yield name, "must hold numbers, but holds NaN or infinity"


def _group(state: Mapping[str, Tensor], max_file_bytes: int) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    num_bytes = 0
    for name in sorted(state):
        size = state[name].numel() * state[name].element_size()
        if groups[-1] and num_bytes + size > max_file_bytes:
            groups.append([])
            num_bytes = 0
        groups[-1].append(name)
        num_bytes += size
    return groups


def _ready(state: Mapping[str, Tensor], names: list[str], dtype: torch.dtype | None) -> dict[str, Tensor]:
    return {name: state[name].detach().to(dtype=dtype or state[name].dtype).contiguous() for name in names}
