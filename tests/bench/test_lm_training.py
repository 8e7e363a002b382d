"""One training step (forward, backward, AdamW) on text against `transformers` Llama of equal shape.

    pytest -m bench -s tests/bench/test_lm_training.py

Per useful token: once on full rows, once on documents of unequal length, which we pack and a padded batch does not.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.bench.lm_shapes import a_vocabulary, config_of, seconds
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.lm.config import StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.layout import Grid
from uniaudio.sequence.packing import pack

pytestmark = pytest.mark.bench
BACKBONE = StackConfig(num_layers=6, width=384, num_heads=6, num_kv_heads=2, head_size=64, mlp_width=1024)
DEPTH = StackConfig(num_layers=1, width=64, num_heads=1, num_kv_heads=1, head_size=64, mlp_width=64)
VOCABULARY = a_vocabulary(text_size=4096, reasoning_codes=8, reconstruction_codes=8)
CONTEXT = 256


def a_document(length: int, seed: int) -> Grid:
    ids = np.zeros((length, 9), np.int64)
    ids[:, 8] = np.random.default_rng(seed).integers(0, 4096, length)
    return Grid(ids=ids, is_audio=np.zeros(length, bool), loss=np.ones(length, bool))


def our_step(documents: list[Grid]) -> Callable[[], None]:
    model = UniAudioLM(config_of(VOCABULARY, BACKBONE, DEPTH, (0, 0)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rows = pack(documents, CONTEXT)
    ids, in_row = torch.from_numpy(rows.ids), torch.from_numpy(rows.document_ids)
    is_text = in_row >= 0
    is_whole = bool(is_text.all()) and bool((in_row == in_row[:, :1]).all())

    def step() -> None:
        hidden = model(ids, ~is_text & False, is_text, None if is_whole else in_row, has_audio=False)
        counts = (in_row[:, 1:] == in_row[:, :-1]) & is_text[:, 1:]
        logits = model.text_logits(hidden[:, :-1][counts])
        functional.cross_entropy(logits, ids[:, 1:][counts][:, 8]).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def llama_step(documents: list[Grid]) -> Callable[[], None]:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=4096, hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6,
        num_key_value_heads=2, head_dim=64, tie_word_embeddings=False, max_position_embeddings=CONTEXT,
    )  # fmt: skip
    model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    longest = max(map(len, documents))
    ids = torch.zeros(len(documents), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, document in enumerate(documents):
        ids[row, : len(document)] = torch.from_numpy(document.ids[:, 8])
        mask[row, : len(document)] = 1
    labels = ids.masked_fill(mask == 0, -100)

    def step() -> None:
        model(
            input_ids=ids, attention_mask=None if mask.all() else mask, labels=labels, use_cache=False
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def test_a_training_step_against_llama_of_equal_shape(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    import_torchaudio()
    lengths = {"full rows": [CONTEXT] * 4, "unequal documents": [250, 40, 90, 120, 30, 200, 60, 180]}
    for name, chosen in lengths.items():
        documents = [a_document(length, seed) for seed, length in enumerate(chosen)]
        ours, theirs = seconds(our_step(documents), llama_step(documents), turns=4)
        with capsys.disabled():
            print(f"\n{name}: a step takes {ours / theirs:.2f} of Llama's time ({sum(chosen)} useful tokens in both)")
        assert ours < 1.2 * theirs
