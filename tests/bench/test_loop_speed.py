"""A step of the training loop at the starter's shapes (6 of 30 layers) on text, against a plain loop over a Llama of equal shape:
litgpt's where it is installed, else `transformers`'.

pytest -m bench -s tests/bench/test_loop_speed.py

Ours reads, packs, counts, tells and clips; theirs has its batch there, and clips. CPU-seconds of one thread, the fastest step.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence, SequenceSegment

from tests.bench.lm_shapes import a_vocabulary, config_of
from uniaudio.lm.config import LMConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.stages.config import ALL_MODULES, MixturePhase, StageConfig
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.run import Listeners
from uniaudio.training.sequences.dataset import SequenceSet

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
STARTER = LMConfig.preset("starter", tiny_vocabulary()).backbone
BACKBONE = StackConfig(
    num_layers=6,
    width=STARTER.width,
    num_heads=STARTER.num_heads,
    num_kv_heads=STARTER.num_kv_heads,
    head_size=STARTER.head_size,
    mlp_width=STARTER.mlp_width,
)
DEPTH = StackConfig(num_layers=1, width=64, num_heads=1, num_kv_heads=1, head_size=64, mlp_width=64)
VOCABULARY = a_vocabulary(text_size=4096, reasoning_codes=8, reconstruction_codes=8)
CONTEXT, NUM_ROWS, NUM_STEPS = 256, 4, 3
STAGE = StageConfig(
    name="text_warmup",
    trains=ALL_MODULES,
    mixture=(MixturePhase(first_step=0, weights=(("*", 1.0),)),),
    num_steps=NUM_STEPS + 1,
    context=CONTEXT,
    num_rows=NUM_ROWS,
    micro_rows=NUM_ROWS,
    learning_rate=1e-4,
    num_threads=1,
    num_held_out=1,
)


def a_text(number: int, split: str) -> Sequence:
    ids = np.random.default_rng(number).integers(0, 4096, CONTEXT, dtype=np.int32)
    return Sequence(
        sequence_id=f"{number:032x}",
        task="text_only",
        mixture="text_only",
        split=split,
        corpus="made",
        segments=[SequenceSegment(kind="text", start=0, length=CONTEXT, loss=True)],
        audio_ids=np.zeros((0, 8), np.int16),
        text_ids=ids,
        clip_ids=[],
    )


def our_step_s() -> float:
    rows = [a_text(number, "val" if number == 0 else "train") for number in range(33)]
    data = MixtureData(SequenceSet.of([to_table(rows, Sequence)], "content"), VOCABULARY, STAGE, 0)
    model, ended = UniAudioLM(config_of(VOCABULARY, BACKBONE, DEPTH, (0, 0))), list[float]()
    train_stage(model, STAGE, data, listeners=Listeners(on_progress=lambda _: ended.append(time.process_time())))
    # Behind the last step it is held out.
    return float(min(np.diff(ended[:-1])))


def plain_step_s(model: nn.Module, logits_of: Callable[[torch.Tensor], torch.Tensor]) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 4096, (NUM_ROWS, CONTEXT)))
    found: list[float] = []
    for _ in range(NUM_STEPS):
        started = time.process_time()
        logits = logits_of(ids[:, :-1])
        functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        found.append(time.process_time() - started)
    return min(found)


def litgpt_step_s() -> float:
    from litgpt.config import Config
    from litgpt.model import GPT

    config = Config(
        block_size=CONTEXT, n_layer=BACKBONE.num_layers, n_embd=BACKBONE.width, n_head=BACKBONE.num_heads,
        n_query_groups=BACKBONE.num_kv_heads, head_size=BACKBONE.head_size, intermediate_size=BACKBONE.mlp_width,
        vocab_size=4096, padded_vocab_size=4096, rotary_percentage=1.0, parallel_residual=False, bias=False,
        norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP",
    )  # fmt: skip
    model = GPT(config)
    return plain_step_s(model, model)


def transformers_step_s() -> float:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=4096, hidden_size=BACKBONE.width, intermediate_size=BACKBONE.mlp_width,
        num_hidden_layers=BACKBONE.num_layers, num_attention_heads=BACKBONE.num_heads,
        num_key_value_heads=BACKBONE.num_kv_heads, head_dim=BACKBONE.head_size, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config).train()
    return plain_step_s(model, lambda ids: model(input_ids=ids, use_cache=False).logits)


def test_a_step_of_the_loop_against_a_plain_loop_over_llama(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    rivals = {"transformers": transformers_step_s, **({"litgpt": litgpt_step_s} if find_spec("litgpt") else {})}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        turns = [(our_step_s(), {name: step_s() for name, step_s in rivals.items()}) for _ in range(2)]
    finally:
        torch.set_num_threads(threads)
    ours = min(own for own, _ in turns)
    for name in rivals:
        theirs = min(found[name] for _, found in turns)
        with capsys.disabled():
            print(f"\na step takes {ours:.2f} CPU-s, {ours / theirs:.2f} of that of {name}'s Llama")
        assert ours < 1.2 * theirs
