"""Useful tokens a CPU-second of training steps (forward, backward, AdamW): packed rows beside padded batches of the same documents.

    pytest -m bench -s tests/bench/test_packed_training.py

Lengths are skewed as those of clips are. A padded batch has eight documents and plain causal attention, and its heads run only
where there is a target, so that padding costs it no more than it must.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.bench.lm_shapes import a_vocabulary, config_of, seconds
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.lm.config import StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.layout import Grid
from uniaudio.sequence.packing import pack_lengths
from uniaudio.training.lm.data import Batch, collate
from uniaudio.training.lm.losses import LossWeights, loss_sums, total_loss

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_800)]
BACKBONE = StackConfig(num_layers=4, width=256, num_heads=4, num_kv_heads=4, head_size=64, mlp_width=704)
DEPTH = StackConfig(num_layers=1, width=64, num_heads=1, num_kv_heads=1, head_size=64, mlp_width=128)
VOCABULARY = a_vocabulary(text_size=4096, reasoning_codes=64, reconstruction_codes=64)
CONTEXT, NUM_DOCUMENTS, PADDED_ROWS, PACKED_ROWS = 1024, 64, 8, 2
TURNS = 2
WEIGHTS = LossWeights(text=1.0, audio=1.0, streams=(1.0,) * 8)


def a_document(length: int, seed: int, *, audio: bool) -> Grid:
    generator = np.random.default_rng(seed)
    ids = np.zeros((length, 9), np.int64)
    if audio:
        ids[:, :8] = generator.integers(0, 64, (length, 8)) + VOCABULARY.reconstruction_offset
    else:
        ids[:, 8] = generator.integers(0, 4096, length)
    return Grid(ids=ids, is_audio=np.full(length, audio), loss=np.ones(length, bool))


class PlainCausal:
    """The model, not told of documents: right where a row has one, and quicker."""

    def __init__(self, model: UniAudioLM) -> None:
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def __call__(self, *given: Tensor, document_ids_BS: Tensor, has_audio: bool) -> Tensor:
        return self._model(*given, None, has_audio=has_audio)


def loss_everywhere(model: UniAudioLM, batch: Batch) -> Tensor:
    """Of a text batch with the head at every position and padding ignored, as a padded batch usually is trained on."""
    hidden_BSD = model(batch.ids_BS9[:, :-1], batch.is_audio_BS[:, :-1], batch.is_text_BS[:, :-1], has_audio=False)
    targets_BS = batch.ids_BS9[:, 1:, 8].where(batch.is_text_BS[:, 1:], -100)
    return functional.cross_entropy(model.text_logits(hidden_BSD).flatten(0, 1), targets_BS.flatten())


def epoch(batches: list[Batch], loss_of: Callable[[UniAudioLM, Batch], Tensor]) -> Callable[[], None]:
    """One pass over all documents."""
    model = UniAudioLM(config_of(VOCABULARY, BACKBONE, DEPTH, (0, 0)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def run() -> None:
        for batch in batches:
            loss_of(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()

    return run


def our_loss(model: UniAudioLM, batch: Batch) -> Tensor:
    return total_loss(loss_sums(model, batch, "loss_frames"), WEIGHTS)


def padded_loss(model: UniAudioLM, batch: Batch) -> Tensor:
    return total_loss(loss_sums(PlainCausal(model), batch, "loss_frames"), WEIGHTS)


@pytest.mark.parametrize("audio", [False, True])
def test_useful_tokens_of_packed_and_of_padded_steps(audio: bool, capsys: pytest.CaptureFixture[str]) -> None:
    import_torchaudio()
    torch.set_num_threads(1)
    lengths = np.random.default_rng(0).lognormal(mean=5.0, sigma=0.8, size=NUM_DOCUMENTS).clip(8, CONTEXT).astype(int)
    documents = [a_document(length, seed, audio=audio) for seed, length in enumerate(lengths.tolist())]
    groups = [documents[first : first + PADDED_ROWS] for first in range(0, NUM_DOCUMENTS, PADDED_ROWS)]
    padded = [collate([[one] for one in group], max(map(len, group))) for group in groups]
    rows = [[documents[index] for index in row] for row in pack_lengths(lengths.tolist(), CONTEXT)]
    packed = [collate(rows[first : first + PACKED_ROWS], CONTEXT) for first in range(0, len(rows), PACKED_ROWS)]
    runs = {"packed": epoch(packed, our_loss), "padded, heads at targets": epoch(padded, padded_loss)}
    if not audio:
        runs["padded, head everywhere"] = epoch(padded, loss_everywhere)
    taken = dict(zip(runs, seconds(*runs.values(), turns=TURNS), strict=True))
    slots = {
        name: sum(batch.loss_BS.numel() for batch in some) for name, some in (("padded", padded), ("packed", packed))
    }
    useful = int(lengths.sum())
    with capsys.disabled():
        shares = ", ".join(f"{useful / num_slots:.1%} {name}" for name, num_slots in slots.items())
        print(f"\n{'audio' if audio else 'text'}: useful positions {shares}")
        for name, time_s in taken.items():
            print(
                f"{name:<26}{useful / time_s:>8,.0f} useful tokens a CPU-second, {time_s / taken['packed']:.2f} times packed's"
            )
    assert useful >= 0.97 * slots["packed"]
    assert min(time_s for name, time_s in taken.items() if name != "packed") > 1.3 * taken["packed"]
