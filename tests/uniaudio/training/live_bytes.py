"""Bytes of tensors that are there at once, counted as operations give them and as their last holder lets go."""

import weakref
from collections.abc import Iterable

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Within it `now` and `peak` count every storage that an operation gave; those before it count where they are told of.

    What a kernel takes for itself while it runs is not seen.
    """

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref] = {}
        for tensor in held:
            self._add(tensor)

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = weakref.ref(storage, lambda _, key=key, size=size: self._drop(key, size))
        self.now += size
        self.peak = max(self.peak, self.now)

    def _drop(self, key: int, size: int) -> None:
        del self._known[key]
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        for leaf in tree_iter(given):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return given


class ResizedLiveBytes(LiveBytes):
    """Also where storages grow and shrink, as those of gathered weights do: all are asked at every operation, so it is slow."""

    def _add(self, tensor: Tensor) -> None:
        # The tensor of a shard is told by the shard; the whole that it stands for is nowhere.
        storage = getattr(tensor, "_local_tensor", tensor).untyped_storage()
        key = storage._cdata
        if key not in self._known:
            self._known[key] = weakref.ref(storage, lambda _, key=key: self._known.pop(key, None))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = super().__torch_dispatch__(func, types, args, kwargs)
        for leaf in tree_iter((args, kwargs)):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        live = (reference() for reference in list(self._known.values()))
        self.now = sum(storage.nbytes() for storage in live if storage is not None)
        self.peak = max(self.peak, self.now)
        return given
