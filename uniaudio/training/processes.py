"""The processes that train together: which of them this one is, what they add up, and what makes their run reproducible.

Alone, or every rank of a `torch.distributed` group: under torchrun, under Ray Train, on CPUs with gloo.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

T = TypeVar("T")
BUCKET_BYTES = 32 << 20
"""Gradients that are summed in one message: many small messages are slow, one of everything is a second copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """This process among those of the run; it computes the items `rank`, `rank + world_size`, … of each step."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> "Processes":
        if distributed.is_available() and distributed.is_initialized():
            return cls(rank=distributed.get_rank(), world_size=distributed.get_world_size())
        return cls()

    @property
    def mine(self) -> slice:
        return slice(self.rank, None, self.world_size)

    def sum(self, tensor: Tensor) -> Tensor:
        """`tensor`, in place the sum over all ranks."""
        if self.world_size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def most(self, value: int, device: torch.device) -> int:
        """The largest of the ranks' values."""
        if self.world_size == 1:
            return value
        tensor = torch.tensor(value, device=device)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return int(tensor)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each gradient becomes its sum over all ranks. Every rank must have the same ones."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            for gradient, part in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def beside(self) -> ProcessGroup | None:
        """A group of all ranks for another thread than the one that trains: messages of two threads in one group would be
        taken for each other. The first call is one of all ranks; None where there is but one."""
        world = distributed.group.WORLD
        return None if world is None or self.world_size == 1 else _beside(world)

    def join(self, mine: list[T]) -> list[T]:
        """What the ranks made of the items `rank`, `rank + world_size`, …, in the order of the items."""
        if self.world_size == 1:
            return mine
        parts: list[list[T]] = [[] for _ in range(self.world_size)]
        distributed.all_gather_object(parts, mine, group=self.beside())
        return [part[at] for at in range(max(map(len, parts))) for part in parts if at < len(part)]

    def barrier(self) -> None:
        if self.world_size > 1:
            distributed.barrier()


@lru_cache(maxsize=1)
def _beside(world: ProcessGroup) -> ProcessGroup:
    """One for each group that trains; of gloo, since what is written lies on the CPU."""
    group: ProcessGroup = distributed.new_group(backend="gloo")
    return group


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients in order, in buckets of one dtype and at most `BUCKET_BYTES`, unless one gradient alone is larger."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        is_full = sum(one.nbytes for one in bucket) + gradient.nbytes > BUCKET_BYTES
        if bucket and (is_full or bucket[0].dtype != gradient.dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


@contextmanager
def reproducible(num_threads: int, *, deterministic: bool = True) -> Iterator[None]:
    """A fixed number of CPU threads, deterministic kernels and random numbers of its own inside; the process' own settings
    come back after."""
    # cuBLAS reads it when its handle is made; without it deterministic mode refuses matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(num_threads)
    # As `use_deterministic_algorithms`, which also imports the compiler: seconds in every worker.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # In that mode torch writes NaN into new memory, in case somebody reads it before writing it: a seventh of a step on a CPU.
    memory: Any = torch.utils.deterministic  # its type does not know the property
    fills_memory, memory.fill_uninitialized_memory = memory.fill_uninitialized_memory, False
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        memory.fill_uninitialized_memory = fills_memory
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
