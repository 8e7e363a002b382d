"""The language model: text tokens and audio frames in one causal sequence. START HERE.

    audio ids -> audio_embedding (sum of 8) -> understanding_expert -+
    text id   -> text_embedding -------------------------------------+-> backbone -+-> at text positions ---------> Z
                                                                                   +-> generation_expert, at audio -> Z
    Z -> text_head -> next text token     Z -> projection -> local_decoder -> audio_head -> next frame, 8 codes in turn

`forward` gives Z and computes no head: losses and decoding ask for `text_logits` and `audio_logits` where they need
them.

Shapes: B batch, S positions, D width, N frames, Q codebooks (8), C depth width, V ids of one audio stream.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.lm import weights
from uniaudio.lm.bare import Embedding, Linear
from uniaudio.lm.blocks import Attend, Block, Stack
from uniaudio.lm.cache import ModelCache
from uniaudio.lm.compiled import library_for
from uniaudio.lm.config import TEXT_COLUMN, LMConfig, StackConfig
from uniaudio.lm.experts import Expert
from uniaudio.lm.initialize import initialize
from uniaudio.lm.local_decoder import AudioHead, LocalDecoder
from uniaudio.lm.masks import document_lengths, packed_mask, packed_positions
from uniaudio.lm.packed import PackedAttention, block_mask, usual_attention
from uniaudio.lm.recomputation import RECOMPUTATIONS
from uniaudio.lm.rope import Rotation, rotation
from uniaudio.lm.stepping import Steps
from uniaudio.stages.schedule import Recomputation


class UniAudioLM(nn.Module):
    """Text and audio language model of the shape `config`, freshly drawn from `seed`."""

    def __init__(self, config: LMConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.compiles = False
        self.compiles_blocks = False
        self.packed_attention: PackedAttention | None = None
        """How documents of packed rows look at themselves alone; None is `packed.usual_attention` of the device."""
        self.text_embedding = Embedding(config.text_size, config.width)
        self.audio_embedding = Embedding(config.num_codebooks * config.audio_size, config.width)
        self.understanding_expert = Expert(config.understanding_expert, config.norm_eps)
        self.backbone = Stack(config.backbone, config.norm_eps)
        self.generation_expert = Expert(config.generation_expert, config.norm_eps)
        self.projection = Linear(config.width, config.local_decoder.width)
        self.local_decoder = LocalDecoder(config)
        self.audio_head = AudioHead(config)
        self.text_head = Linear(config.width, config.text_size)
        if self.device.type != "meta":
            initialize(self, seed)

    @property
    def device(self) -> torch.device:
        return self.text_embedding.weight.device

    def forward(
        self,
        ids_BS9: Tensor,
        is_audio_BS: Tensor,
        is_text_BS: Tensor,
        document_ids_BS: Tensor | None = None,
        *,
        positions: Tensor | int | None = None,
        cache: ModelCache | None = None,
        has_audio: bool = True,
        steps: Mapping[str, Steps] | None = None,
    ) -> Tensor:
        """Hidden states Z `[B, S, D]` of int64 ids `[B, S, 9]` (columns 0..7 audio, 8 text); zero at padding.

        `is_audio_BS`, `is_text_BS`: bool, the modality of each position; neither is padding.
        `document_ids_BS`: int, for packed rows: positions restart and attention stops where it changes.
        `positions`: int64 `[B, S]`, or the first of consecutive ones; with a filled `cache`, the slots (required).
        `has_audio=False` promises that no position is audio and none will follow: the experts are skipped.
        `steps`: by name of a stack of the trunk, how single positions go through it (`uniaudio.lm.engine`).
        """
        attend = self._attend(ids_BS9, document_ids_BS, positions, cache)
        caches = {} if cache is None else cache.stacks
        steps = steps or {}
        is_text_BS1 = is_text_BS[..., None]
        text_BSD = self.text_embedding(ids_BS9[..., TEXT_COLUMN].where(is_text_BS, 0)) * is_text_BS1
        if not has_audio:
            out_BSD: Tensor = self.backbone(text_BSD, attend, caches.get("backbone"), steps.get("backbone"))
            return out_BSD * is_text_BS1
        is_audio_BS1 = is_audio_BS[..., None].to(text_BSD.dtype)
        audio_BSD = self.embed_frames(ids_BS9[..., :TEXT_COLUMN].where(is_audio_BS[..., None], 0))
        name = "understanding_expert"
        audio_BSD = self.understanding_expert(audio_BSD, is_audio_BS1, attend, caches.get(name), steps.get(name))
        hidden_BSD: Tensor = self.backbone(audio_BSD + text_BSD, attend, caches.get("backbone"), steps.get("backbone"))
        name = "generation_expert"
        generated_BSD: Tensor = self.generation_expert(
            hidden_BSD, is_audio_BS1, attend, caches.get(name), steps.get(name)
        )
        return generated_BSD + hidden_BSD * is_text_BS1

    def embed_frames(self, codes_BSQ: Tensor) -> Tensor:
        """`[..., Q]` int64 combined ids -> `[..., D]`, summed over the codebooks."""
        rows = codes_BSQ + self._stream_offsets(codes_BSQ.device)
        summed = F.embedding_bag(rows.flatten(0, -2), self.audio_embedding.weight, mode="sum")
        embedded: Tensor = summed.unflatten(0, codes_BSQ.shape[:-1])
        return embedded

    def embed_code(self, codes_N: Tensor, codebook: int) -> Tensor:
        """`[N]` ids of one codebook -> `[N, D]`."""
        embedded_ND: Tensor = self.audio_embedding(codes_N + codebook * self.config.audio_size)
        return embedded_ND

    def text_logits(self, hidden: Tensor) -> Tensor:
        """`[..., D]` -> `[..., text_size]`: the next text token."""
        logits: Tensor = self.text_head(hidden)
        return logits

    def audio_logits(self, hidden_ND: Tensor, target_codes_NQ: Tensor) -> Tensor:
        """`[N, D]` and the next frames `[N, Q]` int64 -> `[N, Q, V]`: code q given hidden and the codes before q."""
        logits_NQV: Tensor = self.audio_head(self.audio_states(hidden_ND, target_codes_NQ))
        return logits_NQV

    def audio_states(self, hidden_ND: Tensor, target_codes_NQ: Tensor) -> Tensor:
        """`[N, Q, C]`: what the audio head makes `audio_logits` of."""
        previous_NQ = target_codes_NQ[:, :-1] + self._stream_offsets(target_codes_NQ.device)[:-1]
        inputs_NQD = torch.cat([hidden_ND[:, None], self.audio_embedding(previous_NQ)], dim=1)
        states_NQC = self.projection(inputs_NQD)
        decoded_NQC: Tensor = self.local_decoder(states_NQC) if len(states_NQC) else states_NQC
        return decoded_NQC

    def allocate_cache(self, batch_size: int, num_slots: int, *, with_experts: bool = True) -> ModelCache:
        """An empty cache of `num_slots` positions a row; the experts need none where no audio follows the prompt."""
        return ModelCache(self._cached_stacks(with_experts), batch_size, num_slots, self.text_embedding.weight.detach())

    def extend_cache(self, cache: ModelCache, *, with_experts: bool = True) -> None:
        """Gives `cache` the stacks that it lacks, as `allocate_cache` does."""
        cache.include(self._cached_stacks(with_experts), self.text_embedding.weight.detach())

    def _cached_stacks(self, with_experts: bool) -> dict[str, StackConfig]:
        stacks = {"backbone": self.config.backbone}
        if with_experts:
            stacks["understanding_expert"] = self.config.understanding_expert
            stacks["generation_expert"] = self.config.generation_expert
        return stacks

    def compile_decoding(self, enabled: bool = True) -> None:
        """Write answers with machine code built for this processor from here on (`uniaudio.lm.compiled`): a few times faster on a
        CPU. It takes a second and a C compiler, and keeps the weights twice.
        """
        if enabled:
            library_for(self.text_embedding.weight)
        self.compiles = enabled

    def set_recomputation(self, mode: Recomputation) -> None:
        """What the backward pass of every block computes again (`uniaudio.lm.recomputation`)."""
        if mode not in RECOMPUTATIONS:
            raise UsageError(f"`mode` must be one of {', '.join(RECOMPUTATIONS)}, but is {mode!r}.")
        for block in self._blocks():
            block.recomputation = mode

    def compile_blocks(self, backend: str | Callable[..., Any] = "inductor") -> None:
        """Run each block as one compiled region in training from here on. Needs a C++ compiler, or Triton on a GPU."""
        self.compiles_blocks = True
        for block in self._blocks():
            block.compile_training(backend)

    def num_parameters(self, names: Iterable[str] = ("",)) -> int:
        """Parameters whose name starts with one of `names`; all by default."""
        prefixes = tuple(names)
        return sum(p.numel() for name, p in self.named_parameters() if name.startswith(prefixes))

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes `config.json` and the weights as safetensors, in `dtype` or their own."""
        weights.save(self.state_dict(), self.config, Path(folder), dtype=dtype)

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> "UniAudioLM":
        """Reads what `save` wrote; `dtype` None keeps the stored one."""
        config = weights.read_config(Path(folder))
        with torch.device("meta"):
            model = cls(config)
        weights.load_into(model, Path(folder), device=torch.device(device), dtype=dtype)
        return model

    def _blocks(self) -> Iterator[Block]:
        return (module for module in self.modules() if isinstance(module, Block))

    def _stream_offsets(self, device: torch.device) -> Tensor:
        return torch.arange(self.config.num_codebooks, device=device) * self.config.audio_size

    def _attend(
        self,
        ids_BS9: Tensor,
        documents_BS: Tensor | None,
        positions: Tensor | int | None,
        cache: ModelCache | None,
    ) -> Attend:
        num_new, device = ids_BS9.shape[1], ids_BS9.device
        is_filled = cache is not None and cache.num_used > 0
        if positions is None and documents_BS is not None:
            positions_BS = packed_positions(documents_BS)
        elif isinstance(positions, Tensor):
            positions_BS = positions
        else:
            positions_BS = torch.arange(num_new, device=device)[None] + (positions or 0)
        turn = rotation(self.config.rope, positions_BS, self.config.backbone.head_size)
        if cache is not None:
            cache.num_used = min(cache.num_used + num_new, cache.num_slots)
        if cache is None or not is_filled:
            if documents_BS is None:
                return Attend(turn)
            if cache is not None:
                return Attend(turn, packed_mask(documents_BS))
            return self._attend_packed(turn, documents_BS)
        assert positions is not None, "positions are the cache slots"
        if isinstance(positions, int) and num_new == 1:
            return Attend(turn, slots=positions, num_keys=positions + 1)
        keys = torch.arange(cache.num_used, device=device)
        return Attend(turn, keys <= positions_BS[..., None], slots=positions, num_keys=cache.num_used)

    def _attend_packed(self, turn: Rotation, documents_BS: Tensor) -> Attend:
        how = self.packed_attention or usual_attention(documents_BS.device, compiled=self.compiles_blocks)
        if how == "by_document" and self.compiles_blocks:
            raise UsageError(
                "`packed_attention` must be dense_mask or block_mask where blocks are compiled, but is by_document."
            )
        if how == "by_document":
            return Attend(turn, documents=document_lengths(documents_BS))
        if how == "dense_mask":
            return Attend(turn, packed_mask(documents_BS))
        return Attend(turn, blocks=block_mask(documents_BS))
