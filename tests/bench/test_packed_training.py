"""Useful tokens a CPU-second of training steps (forward, backward, AdamW): packed rows beside padded batches of the same documents.

    pytest -m bench -s tests/bench/test_packed_training.py

Lengths are skewed as those of clips are. Padded batches are made in three ways, all with plain causal attention:
- as the field trains (transformers' collator, the authors' loop): as they come, and the text head at every position, padding included;
- as they come, with our heads, which run only where there is a target: what is left is padding in the trunk;
- the same of documents sorted by length, as bucketing samplers do, which then decide what is trained on together.
What packing can give over padding is bounded by the positions: `(s t + h) / (t + h)` where padded batches have `s` times the positions,
and a position costs `t` in the trunk and `h` in the heads of its target, which do not know of padding.
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
from uniaudio.training.lm.losses import LossWeights, audio_loss_sums, loss_sums, target_masks, total_loss

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


def field_loss(model: UniAudioLM, batch: Batch) -> Tensor:
    """The text head at every position, and padding ignored; codes at targets."""
    _, audio_BS, _ = target_masks(batch)
    has_audio = bool(batch.is_audio_BS.any())
    hidden_BSD = model(batch.ids_BS9[:, :-1], batch.is_audio_BS[:, :-1], batch.is_text_BS[:, :-1], has_audio=has_audio)
    targets_BS = batch.ids_BS9[:, 1:, 8].where(batch.is_text_BS[:, 1:], -100)
    text = functional.cross_entropy(model.text_logits(hidden_BSD).flatten(0, 1), targets_BS.flatten(), reduction="sum")
    if not has_audio:
        return text
    codes_NQ = batch.ids_BS9[:, 1:][audio_BS][:, :-1]
    return text + audio_loss_sums(model.audio_logits(hidden_BSD[audio_BS], codes_NQ), codes_NQ).sum()


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


def padded_batches(documents: list[Grid]) -> list[Batch]:
    groups = [documents[first : first + PADDED_ROWS] for first in range(0, len(documents), PADDED_ROWS)]
    return [collate([[one] for one in group], max(map(len, group))) for group in groups]


def packed_batches(documents: list[Grid]) -> list[Batch]:
    rows = [[documents[index] for index in row] for row in pack_lengths([*map(len, documents)], CONTEXT)]
    return [collate(rows[first : first + PACKED_ROWS], CONTEXT) for first in range(0, len(rows), PACKED_ROWS)]


@pytest.mark.parametrize("audio", [False, True], ids=["text", "audio"])
def test_useful_tokens_of_packed_and_of_padded_steps(audio: bool, capsys: pytest.CaptureFixture[str]) -> None:
    import_torchaudio()
    torch.set_num_threads(1)
    lengths = np.random.default_rng(0).lognormal(mean=5.0, sigma=0.8, size=NUM_DOCUMENTS).clip(8, CONTEXT).astype(int)
    documents = [a_document(length, seed, audio=audio) for seed, length in enumerate(lengths.tolist())]
    packed, padded = packed_batches(documents), padded_batches(documents)
    in_order = padded_batches(sorted(documents, key=len))
    batches = {"packed": packed, "as the field trains": padded, "our heads": padded, "our heads, sorted": in_order}
    losses = {"packed": our_loss, "as the field trains": field_loss}
    runs = [epoch(some, losses.get(name, padded_loss)) for name, some in batches.items()]
    times = dict(zip(batches, seconds(*runs, turns=TURNS), strict=True))
    positions = {name: sum(batch.loss_BS.numel() for batch in some) for name, some in batches.items()}
    useful = int(lengths.sum())
    with capsys.disabled():
        print(f"\n{'audio' if audio else 'text'}: {useful} useful tokens")
        for name, time_s in times.items():
            print(
                f"{name:<20}{useful / positions[name]:>7.1%} of positions useful, {useful / time_s:>8,.0f} useful tokens a "
                f"CPU-second, {time_s / times['packed']:.2f} times packed's, {positions[name] / positions['packed']:.2f} of positions"
            )
    assert useful >= 0.97 * positions["packed"]
    assert times["as the field trains"] > 2.4 * times["packed"]
    assert times["our heads"] > 1.5 * times["packed"]
