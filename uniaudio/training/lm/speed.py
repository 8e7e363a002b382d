"""What a stage does with its time: positions and model operations a second, padding, and the share of the card's peak (MFU)."""

import time
from collections.abc import Collection

import torch

from uniaudio.lm.config import LMConfig
from uniaudio.sequence.packing import PADDING_DOCUMENT
from uniaudio.stages.schedule import Precision
from uniaudio.training.lm.data import Batch
from uniaudio.training.lm.losses import count_targets
from uniaudio.training.plan.cards import CARDS, Card
from uniaudio.training.plan.compute import Counts, flops_of


class Speed:
    """Throughput of one rank since its first step. Ranks compute alike, so the total is that of one times their number."""

    def __init__(self, config: LMConfig, trains: Collection[str], precision: Precision, device: torch.device) -> None:
        self._config, self._trains, self._precision = config, trains, precision
        self._card = _card(device)
        self._positions, self._computed, self._flops = 0, 0, 0.0
        self._started = time.monotonic()

    def count(self, batches: list[Batch]) -> None:
        """Count the passes of a step."""
        masks = [batch.document_ids_BS != PADDING_DOCUMENT for batch in batches]
        positions = sum(int(used_BS.sum()) for used_BS in masks)
        targets = [count_targets(batch, "loss_frames") for batch in batches]
        documents = sum(_num_documents(batch) for batch in batches)
        counts = Counts(
            positions=positions,
            text_targets=sum(text for text, _ in targets),
            audio_targets=sum(audio for _, audio in targets),
            document=positions / max(documents, 1),
        )
        self._positions += positions
        self._computed += sum(used_BS.numel() for used_BS in masks)
        self._flops += sum(flops_of(self._config, self._trains, counts).values())

    def gauges(self, world_size: int) -> dict[str, float]:
        """Averages since the first step. `mfu` is given on a card whose peak is known."""
        elapsed = max(time.monotonic() - self._started, 1e-9)
        values = {
            "tokens_per_second": world_size * self._positions / elapsed,
            "teraflops_per_rank": self._flops / elapsed / 1e12,
            "padding_share": 1 - self._positions / max(self._computed, 1),
        }
        if self._card is not None:
            values["mfu"] = self._flops / elapsed / self._card.flops(self._precision)
        return values


def _num_documents(batch: Batch) -> int:
    documents_BS = batch.document_ids_BS
    begins_BS = documents_BS != torch.cat(
        [torch.full_like(documents_BS[:, :1], PADDING_DOCUMENT), documents_BS[:, :-1]], 1
    )
    return int((begins_BS & (documents_BS != PADDING_DOCUMENT)).sum())


def _card(device: torch.device) -> Card | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device).lower().replace(" ", "")
    return next((card for key, card in sorted(CARDS.items(), reverse=True) if key.split("-")[0] in name), None)
