"""A model over several cards: torch's `fully_shard`, block by block.

Every rank keeps its part of weights, gradients and optimizer, and gathers a block's weights while it computes with it. What is
in no block (embeddings, heads) is gathered for the whole pass. So all ranks must call the same blocks in the same order.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from uniaudio_schemas.errors import UsageError

from uniaudio.stages.schedule import Precision


def shard(
    root: nn.Module, blocks: Iterable[nn.Module], *, device: torch.device, shard_over: int, precision: Precision
) -> None:
    """Shard `root`, in place, over groups of `shard_over` ranks (0: all of them), each with a copy of the model.

    Block by block the weights go to `device`, where the whole model never is.
    Weights and optimizer stay float32, gradients are summed in float32; `precision` is that of the passes.
    """
    world_size = distributed.get_world_size()
    shard_over = shard_over or world_size
    if world_size % shard_over:
        raise UsageError(f"`shard_over` must divide the number of ranks ({world_size}), but is {shard_over}.")
    shape, names = (world_size // shard_over, shard_over), ("replicate", "shard")
    mesh = init_device_mesh(
        device.type, (world_size,) if shape[0] == 1 else shape, mesh_dim_names=names[-1 if shape[0] == 1 else 0 :]
    )
    dtype = torch.bfloat16 if precision == "bfloat16" else None
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(root, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # Every loss is divided by the counts of all ranks: gradients add up, in plain sums, which gloo has too.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def sums_gradients(root: nn.Module, enabled: bool) -> None:
    """Whether the next backward pass sums over ranks; the gradients of those before are added first."""
    if isinstance(root, FSDPModule):
        root.set_requires_gradient_sync(enabled)


def full_tensors(module: nn.Module, *, keep: bool = True) -> dict[str, Tensor]:
    """Every tensor of `module` by name, whole, on the CPU. All ranks must call it; where not `keep`, nothing is kept."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            tensors[name] = full.detach().cpu().contiguous()
    return tensors
