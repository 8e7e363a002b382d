"""Import torchaudio whether or not its compiled extension can load.

torchaudio 2.11.0, the only one for torch 2.11 and later, links CUDA libraries: with a CPU build of torch `import
torchaudio` raises OSError. Everything of it that is written in Python works without the extension (transforms,
functional.resample, models, pipelines); forced alignment and the RNN-T loss do not. `import_torchaudio` tries the
real import first, so that a CUDA build keeps its extension, and else puts a module of the same interface in the
extension's place; no installed file is touched.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from uniaudio_schemas.errors import UsageError

_EXTENSION = "torchaudio._extension"
_lock = threading.Lock()


def import_torchaudio() -> ModuleType:
    """The torchaudio module, with its compiled extension where that loads. Later `import torchaudio` anywhere finds
    the same module.
    """
    with _lock:
        if importlib.util.find_spec("torchaudio") is None:
            raise UsageError("torchaudio must be installed: `pip install 'uniaudio[audio]'`.")
        try:
            return importlib.import_module("torchaudio")
        except OSError:  # a shared library of the extension is missing
            _forget_half_imported()
            return _import_without_extension()


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
        del sys.modules[name]


def _import_without_extension() -> ModuleType:
    stand_in = _stand_in()
    sys.modules[_EXTENSION] = stand_in
    try:
        torchaudio = importlib.import_module("torchaudio")
    except BaseException:
        _forget_half_imported()
        raise
    torchaudio._extension = stand_in  # type: ignore[attr-defined]
    return torchaudio


def _stand_in() -> ModuleType:
    module = ModuleType(
        _EXTENSION, "Stands in for torchaudio's compiled extension, which cannot load with this build of torch."
    )
    # With a spec and no loader, `importlib.util.find_spec` (transformers probes with it) answers instead of raising
    # ValueError.
    module.__spec__ = importlib.machinery.ModuleSpec(_EXTENSION, loader=None)
    module.__package__ = _EXTENSION
    for name, value in {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_check_cuda_version": lambda: None,
        "fail_if_no_align": _fail_if_no_align,
    }.items():
        setattr(module, name, value)
    return module


def _fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise UsageError(
            f"torchaudio's `{function.__name__}` needs its compiled extension, "
            f"which cannot load with this build of torch."
        )

    return refuse
