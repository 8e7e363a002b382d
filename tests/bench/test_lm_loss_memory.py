"""Memory and time of the text head's loss over LLaMA's vocabulary: in chunks beside all logits at once.

pytest -m bench -s tests/bench/test_lm_loss_memory.py
"""

import pytest
import torch

from tests.bench.lm_shapes import a_vocabulary, build, config_of, seconds
from tests.uniaudio.training.live_bytes import LiveBytes
from uniaudio.lm.config import StackConfig
from uniaudio.training.lm import losses

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_800)]
NUM_TARGETS, TEXT_SIZE, WIDTH = 4096, 128_256, 64


def test_memory_of_4096_targets_over_128k_ids(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = StackConfig(num_layers=1, width=WIDTH, num_heads=1, num_kv_heads=1, head_size=WIDTH, mlp_width=WIDTH)
    vocabulary = a_vocabulary(TEXT_SIZE, reasoning_codes=8, reconstruction_codes=8)
    model = build(config_of(vocabulary, stack, stack, (0, 0))).requires_grad_(True)
    hidden = torch.randn(NUM_TARGETS, WIDTH, requires_grad=True)
    targets = torch.randint(0, TEXT_SIZE, (NUM_TARGETS,))
    weight = model.text_head.weight

    def run() -> None:
        hidden.grad = weight.grad = None
        losses._text_sum(model, hidden, targets).backward()

    peaks, times = {}, {}
    for name, max_logits in (("all at once", 1 << 40), ("in chunks", losses.MAX_LOGITS)):
        monkeypatch.setattr(losses, "MAX_LOGITS", max_logits)
        (times[name],) = seconds(run, turns=2)
        hidden.grad = weight.grad = None
        with LiveBytes() as live:
            run()
        peaks[name] = live.peak - (hidden.numel() + weight.numel()) * 4
    with capsys.disabled():
        for name, peak in peaks.items():
            print(f"\n{name:<12} {peak / 2**20:>8,.0f} MiB beside the gradients, {times[name]:.2f} CPU seconds", end="")
        print()
    assert peaks["in chunks"] < 0.25 * peaks["all at once"]
