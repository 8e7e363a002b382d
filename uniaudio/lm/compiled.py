"""Steps of decoding as machine code: `compiled.c`, built by the system's C compiler for the processor at hand.

    UniAudioLM.compile_decoding()   -> from then on `generate`, `stream` and all that call them take these steps

Building takes about a second, once a process and number type, and nothing is built again for another length or batch.
The weights are kept twice. Differences from the other steps are those of rounding: activations stay float32 between products,
also where the model is bfloat16, and a row gets the same bits alone and in any batch.

Shapes: B rows, D width, H query heads, G key and value heads, E head size, I inputs, O outputs.
"""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.matrices import Matrix, Tiles, laid_out

if TYPE_CHECKING:
    from uniaudio.lm.blocks import Attend, Stack
    from uniaudio.lm.cache import KVCache

FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-shared", "-fPIC")
_NUMBERS = {torch.float32: (), torch.bfloat16: ("-DBFLOAT16",)}


def library_for(weight: Tensor) -> ctypes.CDLL:
    """The functions of `compiled.c` for such weights."""
    if weight.device.type != "cpu" or weight.dtype not in _NUMBERS:
        placement = f"{weight.dtype} on {weight.device}"
        raise UsageError(f"`compile` must be of a model in float32 or bfloat16 on a CPU, but it is in {placement}.")
    return _build(weight.dtype)


@cache
def _build(dtype: torch.dtype) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise UsageError("`compile` must find a C compiler, but neither `cc` nor `gcc` is installed.")
    source = Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.so"
        command = [compiler, *FLAGS, *_NUMBERS[dtype], str(source), "-o", str(path), "-lm"]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            reason = process.stderr.strip().partition("\n")[0]
            raise UsageError(
                f"`compile` must find a C compiler that builds {source.name}, but {compiler} says: {reason}"
            )
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:  # such as a folder that is mounted `noexec`
            raise UsageError(
                f"`compile` must load what it builds, but {error}: let TMPDIR name another folder."
            ) from error
    library.scratch_size.restype = ctypes.c_int64
    return library


class CompiledMatrix(Matrix):
    """A weight in tiles; products come out in float32."""

    def __init__(self, owner: nn.Module, weight_OI: Tensor, part: object = None) -> None:
        self.shape = weight_OI.shape
        self.library = library_for(weight_OI)
        super().__init__(laid_out(owner, part, weight_OI.detach(), Tiles))

    def __call__(self, x_BI: Tensor) -> Tensor:
        x_BI = x_BI.to(torch.float32).contiguous()
        (num_outputs, num_inputs), num_rows = self.shape, len(x_BI)
        out_BO = x_BI.new_empty(num_rows, num_outputs)
        sizes = (_whole(size) for size in (num_rows, num_inputs, num_outputs))
        self.library.multiply(_at(self.weight), _at(x_BI), _at(out_BO), *sizes, 0, torch.get_num_threads())
        return out_BO


class _StackOfC(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("num_layers", "D", "H", "G", "E", "M")),
        ("eps", ctypes.c_float),
        ("weights", ctypes.POINTER(ctypes.c_void_p)),
        ("norms", ctypes.c_void_p),
    )


class _Place(NamedTuple):
    """Where new positions go, `[B]`, and how they are turned, `[B, E]`; one row where all rows are even."""

    slots_B: Tensor
    cos_BE: Tensor
    sin_BE: Tensor


class CompiledSteps:
    """A stack for single positions, as `stepping.StackSteps`."""

    def __init__(self, stack: "Stack") -> None:
        config, blocks = stack.config, list(stack.blocks())
        layers = [
            layer
            for block in blocks
            for layer in (block.attention.qkv, block.attention.out, block.mlp.gate, block.mlp.up, block.mlp.down)
        ]
        self._weights = [laid_out(layer, None, layer.weight.detach(), Tiles) for layer in layers]
        norms = [norm for block in blocks for norm in (block.attention_norm, block.mlp_norm)]
        self._norms = torch.stack([norm.weight.detach().to(torch.float32) for norm in (*norms, stack.norm)])
        self._library = library_for(stack.norm.weight)
        self._stack = _StackOfC(
            config.num_layers, config.width, config.num_heads, config.num_kv_heads, config.head_size, config.mlp_width,
            stack.norm.eps, (ctypes.c_void_p * len(layers))(*(weight.data_ptr() for weight in self._weights)),
            self._norms.data_ptr(),
        )  # fmt: skip
        self._scratch = self._norms.new_empty(0)

    def __call__(self, x_B1D: Tensor, attend: "Attend", cache: "KVCache") -> Tensor:
        """`[B, 1, D]` -> `[B, 1, D]`; every row looks at the slots up to its own."""
        return self.step(x_B1D[:, 0], self.prepare(attend), cache).to(x_B1D.dtype)[:, None]

    def prepare(self, attend: "Attend") -> _Place:
        slots_B = torch.as_tensor(attend.slots, dtype=torch.int64, device="cpu").reshape(-1).contiguous()
        return _Place(slots_B, attend.rotation.cos[:, 0, 0].contiguous(), attend.rotation.sin[:, 0, 0].contiguous())

    def step(self, x_BD: Tensor, place: _Place, cache: "KVCache") -> Tensor:
        """`[B, D]` -> `[B, D]` float32; keys and values go into `cache`, or an `IndexError` says that they do not fit."""
        num_rows = len(x_BD)
        if cache.both.shape[2] != num_rows or len(place.slots_B) not in (1, num_rows):
            raise IndexError(
                f"{num_rows} rows and {len(place.slots_B)} slots do not fit a cache {tuple(cache.both.shape)}."
            )
        x = x_BD.to(torch.float32, copy=True).contiguous()
        size = self._library.scratch_size(ctypes.byref(self._stack), _whole(num_rows), _whole(cache.both.shape[-2]))
        if len(self._scratch) < size:
            self._scratch = self._norms.new_empty(size)
        is_outside = self._library.step(
            ctypes.byref(self._stack), _at(x), _at(cache.both), *map(_at, place),
            *map(_whole, (len(place.slots_B) == 1, num_rows, cache.num_rows_kept, cache.both.shape[-2])),
            _at(self._scratch), torch.get_num_threads(),
        )  # fmt: skip
        if is_outside:
            raise IndexError(f"Slots {place.slots_B.tolist()} do not fit a cache {tuple(cache.both.shape)}.")
        return x


def _at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


_whole = ctypes.c_int64
