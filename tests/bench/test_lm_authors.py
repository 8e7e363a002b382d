"""Against the authors' procedure (batch 1, both heads at every step, all logits of the prompt, 2,048 cache slots, fp32).

    pytest -m bench -s tests/bench/test_lm_authors.py
    UNIAUDIO_BENCH_SHARE=1 pytest -m bench -s tests/bench/test_lm_authors.py    # the whole 3B model: 21 GiB

Shapes: one `UNIAUDIO_BENCH_SHARE`-th (an eighth) of the layers of every stack of the released 3B model and of its
vocabularies; where the depth decoder has fewer layers than that, the last is narrower, so that it is read as often against the
trunk as in the whole model. The authors' steps are `lm.released.compat`'s, which runs both heads; their prompt pass is written
out here.
"""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.bench.lm_shapes import a_prompt, a_vocabulary, build, config_of, seconds
from uniaudio.lm.config import PRESETS
from uniaudio.lm.generate import generate
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.prompts import batch, read_prompt
from uniaudio.lm.released.compat import CompatDecoder, CompatSampling
from uniaudio.lm.sampling import Sampling
from uniaudio.products import EveryLinear

pytestmark = pytest.mark.bench
SHARE = int(os.environ.get("UNIAUDIO_BENCH_SHARE", "8"))
WHOLE = PRESETS["paper_3b"]
BACKBONE = replace(WHOLE["backbone"], num_layers=max(1, WHOLE["backbone"].num_layers // SHARE))
EXPERTS = (max(1, WHOLE["num_understanding_layers"] // SHARE), max(1, WHOLE["num_generation_layers"] // SHARE))
DEPTH_LAYERS = max(1, WHOLE["local_decoder"].num_layers // SHARE)
DEPTH = replace(
    WHOLE["local_decoder"],
    num_layers=DEPTH_LAYERS,
    mlp_width=WHOLE["local_decoder"].mlp_width * WHOLE["local_decoder"].num_layers // (SHARE * DEPTH_LAYERS),
)
VOCABULARY = a_vocabulary(
    text_size=128_256 // SHARE, reasoning_codes=4096 // SHARE, reconstruction_codes=8 * 1012 // SHARE
)
SLOTS, NUM_FRAMES, NUM_TOKENS = 2048, 63, 6


def authors_prefill(model: UniAudioLM, prompt: SimpleNamespace) -> None:
    """All positions against 2,048 slots, then every text logit and every audio logit, thrown away."""
    inputs = batch([read_prompt(prompt, model.config)], model.device)
    cache = model.allocate_cache(1, SLOTS)
    # A cache that is in use is attended as a whole.
    cache.num_used = SLOTS
    positions = torch.arange(inputs.ids_BS9.shape[1])[None]
    hidden = model(inputs.ids_BS9, inputs.is_audio_BS, inputs.is_text_BS, positions=positions, cache=cache)
    model.text_logits(hidden)
    targets = inputs.is_audio_BS[:, 1:]
    model.audio_logits(hidden[:, :-1][targets], inputs.ids_BS9[:, 1:][targets][:, :8])


def authors_text(model: UniAudioLM, prompt: SimpleNamespace, num_tokens: int) -> None:
    """Steps behind one position, both heads at each."""
    decoder = CompatDecoder(model, CompatSampling(temperature=0.9, top_k=50))
    ids, is_audio = torch.as_tensor(prompt.ids[None]), torch.as_tensor(prompt.is_audio[None])
    decoder.prefill(ids, is_audio, ~is_audio, SLOTS)
    fed, modality = torch.zeros(1, 1, 9, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.bool)
    for _ in range(num_tokens):
        decoder.step(fed, modality)


def our_prefill(model: UniAudioLM, prompt: SimpleNamespace) -> None:
    inputs = batch([read_prompt(prompt, model.config)], model.device)
    cache = model.allocate_cache(1, len(prompt.ids) + 32)
    with EveryLinear():
        model(inputs.ids_BS9, inputs.is_audio_BS, inputs.is_text_BS, cache=cache)


def our_text(model: UniAudioLM, prompt: SimpleNamespace, num_tokens: int, num_rows: int = 1) -> None:
    sampling = Sampling(temperature=0.9, top_k=50)
    generate(model, [prompt] * num_rows, vocabulary=VOCABULARY, mode="text", max_text=num_tokens, sampling=sampling)


def test_time_against_the_authors_procedure(capsys: pytest.CaptureFixture[str]) -> None:
    model = build(config_of(VOCABULARY, BACKBONE, DEPTH, EXPERTS))
    short, long = a_prompt(1, 0, VOCABULARY), a_prompt(1, NUM_FRAMES, VOCABULARY)
    with torch.no_grad():
        theirs, ours, many, their_prompt, our_prompt = seconds(
            lambda: authors_text(model, short, NUM_TOKENS),
            lambda: our_text(model, short, NUM_TOKENS),
            lambda: our_text(model, short, NUM_TOKENS, 16),
            lambda: authors_prefill(model, long),
            lambda: our_prefill(model, long),
            turns=2,
        )
        half = model.to(torch.bfloat16)
        [ours_half] = seconds(lambda: our_text(half, short, NUM_TOKENS), turns=2)
        half.compile_decoding()
        [compiled_half] = seconds(lambda: our_text(half, short, NUM_TOKENS), turns=2)
    with capsys.disabled():
        print(
            f"\ntext token, batch 1: {ours / theirs:.2f} of the authors' time; in bf16 {ours_half / theirs:.2f}, "
            f"compiled {compiled_half / theirs:.2f}; "
            f"batch 16: {16 * theirs / many:.1f} times their throughput; "
            f"prompt frame: {our_prompt / their_prompt:.2f} of their time "
            f"({1e3 * theirs / NUM_TOKENS:.0f} ms a token, {1e3 * their_prompt / NUM_FRAMES:.0f} ms a frame theirs)"
        )
    assert ours < theirs
    assert our_prompt < their_prompt
    assert 16 * theirs > many
