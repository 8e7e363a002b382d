"""One codebook: nearest-neighbor search, exponential moving averages, revival of unused codes.

Reads    vectors in code space, `[N, D]` float32
Writes   codes `[N]` int64; in training also its own buffers, which no optimizer touches
"""

# Shapes: N vectors, K codes, D code width

import torch
import torch.distributed as dist
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

# Laplace smoothing of the cluster sizes, and the k-means rounds of the optional start.
SMOOTHING = 1e-5
KMEANS_ROUNDS = 10


class Codebook(nn.Module):
    """`codebook_size` vectors that follow the inputs assigned to them."""

    vectors: Tensor
    cluster_size: Tensor
    cluster_sum: Tensor
    initialized: Tensor

    def __init__(
        self, code_dim: int, codebook_size: int, *, decay: float, dead_code_threshold: float, kmeans_init: bool = False
    ) -> None:
        super().__init__()
        self.decay = decay
        self.dead_code_threshold = dead_code_threshold
        self.frozen = False
        self._waiting: list[tuple[Tensor, Tensor]] | None = None
        self._moved: list[Tensor] | None = None
        start_KD = nn.init.kaiming_uniform_(torch.empty(1, codebook_size, code_dim))[0]
        self.register_buffer("vectors", start_KD)
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("cluster_sum", start_KD.clone())
        self.register_buffer("initialized", torch.tensor(not kmeans_init))

    @property
    def codebook_size(self) -> int:
        """Number of entries."""
        return self.vectors.shape[0]

    def search(self, inputs_ND: Tensor) -> Tensor:
        """`[N, D]` -> `[N]` int64, the nearest code by Euclidean distance; always in float32."""
        with torch.no_grad(), torch.autocast(inputs_ND.device.type, enabled=False):
            vectors_KD = self.vectors.float()
            # |x - e|^2 less |x|^2, which is the same for all codes.
            score_NK = inputs_ND.float() @ vectors_KD.T - 0.5 * vectors_KD.square().sum(dim=1)
            return score_NK.argmax(dim=1)

    def lookup(self, codes: Tensor) -> Tensor:
        """`[...]` int64 -> `[..., D]`, without gradient."""
        return nn.functional.embedding(codes, self.vectors)

    @torch.no_grad()
    def start(self, inputs_ND: Tensor) -> None:
        """Place the codes by k-means on the first batch, once; does nothing unless built with `kmeans_init`."""
        if self.initialized or self.frozen:
            return
        _check_inputs(inputs_ND)
        centers_KD = kmeans(inputs_ND.float(), self.codebook_size)
        if _world_size() > 1:
            dist.broadcast(centers_KD, src=0)
        self.vectors.copy_(centers_KD)
        self.cluster_sum.copy_(centers_KD)
        self.cluster_size.fill_(1.0)
        self.initialized.fill_(True)

    @torch.no_grad()
    def update(self, inputs_ND: Tensor, codes_N: Tensor) -> None:
        """One step of the moving averages over the inputs of all ranks, then revival of dead codes."""
        if self.frozen:
            return
        _check_inputs(inputs_ND)
        inputs_ND = inputs_ND.float()
        if self._waiting is not None:
            self._waiting.append((inputs_ND, codes_N))
            return
        totals_KD1 = inputs_ND.new_zeros(self.codebook_size, inputs_ND.shape[1] + 1)
        totals_KD1.index_add_(0, codes_N, nn.functional.pad(inputs_ND, (0, 1), value=1.0))
        if _world_size() > 1:
            dist.all_reduce(totals_KD1)
        self.cluster_sum.lerp_(totals_KD1[:, :-1], 1.0 - self.decay)
        self.cluster_size.lerp_(totals_KD1[:, -1], 1.0 - self.decay)
        total = self.cluster_size.sum()
        smoothed_K = (self.cluster_size + SMOOTHING) / (total + self.codebook_size * SMOOTHING) * total
        self.vectors.copy_(self.cluster_sum / smoothed_K[:, None])
        self._revive(inputs_ND)

    def hold(self) -> None:
        """From here on `update` only remembers what it is given: the passes of one step all search the same vectors."""
        self._waiting = []

    def foretell(self, inputs_ND: Tensor, codes_N: Tensor) -> None:
        """Given the inputs of all passes of a held step at once, compute now, with its draws, what `settle` will bring."""
        before = [buffer.clone() for buffer in self.buffers()]
        waiting, self._waiting = self._waiting, None
        self.update(inputs_ND, codes_N)
        self._waiting, self._moved = waiting, [buffer.clone() for buffer in self.buffers()]
        self._take(before)

    def settle(self) -> None:
        """End a held step: one update over the inputs of all its passes."""
        waiting, moved = self._waiting, self._moved
        self._waiting, self._moved = None, None
        if moved is not None:
            self._take(moved)
        elif waiting:
            self.update(torch.cat([inputs for inputs, _ in waiting]), torch.cat([codes for _, codes in waiting]))

    def _take(self, buffers: list[Tensor]) -> None:
        for buffer, value in zip(self.buffers(), buffers, strict=True):
            buffer.copy_(value)

    def _revive(self, inputs_ND: Tensor) -> None:
        """Replace every code used less than the threshold by a random input of this batch."""
        dead_K = self.cluster_size < self.dead_code_threshold
        if not dead_K.any():
            return
        fresh_KD = _draw_inputs(inputs_ND, self.codebook_size)
        self.vectors.copy_(torch.where(dead_K[:, None], fresh_KD, self.vectors))
        self.cluster_sum.copy_(torch.where(dead_K[:, None], fresh_KD * self.dead_code_threshold, self.cluster_sum))
        self.cluster_size.masked_fill_(dead_K, self.dead_code_threshold)


def kmeans(inputs_ND: Tensor, num_centers: int, num_rounds: int = KMEANS_ROUNDS) -> Tensor:
    """Lloyd's algorithm from random inputs; a center that attracts nothing stays where it is. Returns `[K, D]`."""
    order_N = torch.randperm(len(inputs_ND), device=inputs_ND.device)
    centers_KD = inputs_ND[order_N[torch.arange(num_centers, device=inputs_ND.device) % len(inputs_ND)]].clone()
    for _ in range(num_rounds):
        nearest_N = torch.cdist(inputs_ND, centers_KD).argmin(dim=1)
        sums_KD = torch.zeros_like(centers_KD).index_add_(0, nearest_N, inputs_ND)
        counts_K = torch.bincount(nearest_N, minlength=num_centers)[:, None]
        centers_KD = torch.where(counts_K > 0, sums_KD / counts_K.clamp(min=1), centers_KD)
    return centers_KD


def _draw_inputs(inputs_ND: Tensor, num_codes: int) -> Tensor:
    """Random inputs `[K, D]`, the same on all ranks: rank r supplies every code whose index is r modulo the world."""
    world_size = _world_size()
    chosen_K = torch.randint(len(inputs_ND), (num_codes,), device=inputs_ND.device)
    drawn_KD = inputs_ND[chosen_K]
    if world_size > 1:
        owner_K = torch.arange(num_codes, device=inputs_ND.device) % world_size
        drawn_KD = drawn_KD * (owner_K == dist.get_rank())[:, None]
        dist.all_reduce(drawn_KD)
    return drawn_KD


def _check_inputs(inputs_ND: Tensor) -> None:
    # A rank without inputs could not take its share of the collective steps, and the others would wait for it.
    if len(inputs_ND) == 0:
        raise UsageError("A training batch must hold at least one valid frame on every rank, but holds none.")


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
