"""Frames per CPU-second against `transformers` Csm and Dia at matched sizes.

    pytest -m bench -s tests/bench/test_lm_generation.py

Csm has our shape (a backbone, and a depth decoder over 8 codebooks), so it gets the same depth decoder and as many layers
as our backbone and experts together. Dia has no depth decoder, and predicts all channels of a frame at once: it gets the
same number of parameters a frame reads, in its decoder.
"""

from typing import Any

import pytest
import torch

from tests.bench.lm_shapes import a_prompt, a_vocabulary, build, config_of, fill, seconds
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.lm.config import StackConfig
from uniaudio.lm.generate import generate

pytestmark = pytest.mark.bench
NUM_FRAMES, NUM_PROMPT = 24, 32
BACKBONE = StackConfig(num_layers=9, width=512, num_heads=8, num_kv_heads=2, head_size=64, mlp_width=1536)
DEPTH = StackConfig(num_layers=4, width=512, num_heads=8, num_kv_heads=2, head_size=64, mlp_width=1536)
EXPERTS = (2, 1)
VOCABULARY = a_vocabulary(text_size=2048)
TOTAL_LAYERS = BACKBONE.num_layers + sum(EXPERTS)


def a_csm() -> Any:
    from transformers import CsmConfig, CsmDepthDecoderConfig, CsmForConditionalGeneration

    shared = {
        "num_codebooks": 8,
        "vocab_size": VOCABULARY.audio_size,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    }
    shared |= {"hidden_size": 512, "intermediate_size": 1536, "head_dim": 64}
    depth = CsmDepthDecoderConfig(**shared, backbone_hidden_size=512, num_hidden_layers=4, max_position_embeddings=9)
    config = CsmConfig(
        **shared, text_vocab_size=2048, num_hidden_layers=TOTAL_LAYERS, depth_decoder_config=depth.to_dict(),
        pad_token_id=0, bos_token_id=1, audio_token_id=2, audio_eos_token_id=3, codebook_pad_token_id=2058,
        codec_config={"model_type": "mimi", "num_hidden_layers": 1},
    )  # fmt: skip
    model = CsmForConditionalGeneration(config).eval().requires_grad_(False)
    fill(model)
    return model


def a_dia() -> Any:
    from transformers import DiaConfig, DiaForConditionalGeneration
    from transformers.models.dia.configuration_dia import DiaDecoderConfig, DiaEncoderConfig

    # Cross attention makes a decoder layer of Dia larger: 12 of ours and 8 depth steps of 4 are read as 37 of its.
    layers = round((TOTAL_LAYERS * _layer(512, 1536) + 8 * 4 * _layer(512, 1536)) / (_layer(512, 1536) + 4 * 512 * 512))
    decoder = DiaDecoderConfig(
        num_hidden_layers=layers, hidden_size=512, intermediate_size=1536, num_attention_heads=8, num_key_value_heads=2,
        head_dim=64, cross_num_attention_heads=8, cross_head_dim=64, cross_num_key_value_heads=8, cross_hidden_size=512,
    )  # fmt: skip
    encoder = DiaEncoderConfig(
        num_hidden_layers=2, hidden_size=512, num_attention_heads=8, num_key_value_heads=8, head_dim=64, intermediate_size=1536
    )  # fmt: skip
    config = DiaConfig(encoder_config=encoder.to_dict(), decoder_config=decoder.to_dict())
    model = DiaForConditionalGeneration(config).eval().requires_grad_(False)
    fill(model)
    return model


def _layer(width: int, mlp_width: int) -> int:
    return width * (width + 2 * 128) + width * width + 3 * width * mlp_width


@pytest.mark.parametrize("batch", [1, 8])
def test_frames_per_cpu_second_against_csm_and_dia(batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    import_torchaudio()
    torch.manual_seed(0)
    ours, csm, dia = build(config_of(VOCABULARY, BACKBONE, DEPTH, EXPERTS)), a_csm(), a_dia()
    prompt = a_prompt(NUM_PROMPT, 0, VOCABULARY)
    text = torch.randint(4, 255, (batch, NUM_PROMPT))
    counts: dict[str, int] = {}

    def run_ours() -> None:
        mode, prompts = ("reconstruction",), [prompt] * batch
        answers = generate(ours, prompts, vocabulary=VOCABULARY, mode=mode, max_frames=NUM_FRAMES)
        counts["ours"] = sum(len(answer.reconstruction_codes) for answer in answers)

    def run_csm() -> None:
        made = csm.generate(input_ids=text, max_new_tokens=NUM_FRAMES, do_sample=False, depth_decoder_do_sample=False)
        counts["csm"] = made.shape[0] * made.shape[1]

    def run_dia() -> None:
        made = dia.generate(input_ids=text, max_new_tokens=NUM_FRAMES, do_sample=False, guidance_scale=1.0)
        counts["dia"] = made.shape[0] * min(made.shape[1], NUM_FRAMES)

    times = dict(zip(("ours", "csm", "dia"), seconds(run_ours, run_csm, run_dia, turns=2), strict=True))
    rates = {name: counts[name] / times[name] for name in times}
    with capsys.disabled():
        print(
            f"\nbatch {batch}: {rates['ours']:.1f} frames a CPU-second, Csm {rates['csm']:.1f} "
            f"({rates['ours'] / rates['csm']:.2f} times), Dia {rates['dia']:.1f} ({rates['ours'] / rates['dia']:.2f} times)"
        )
    assert counts["ours"] == batch * NUM_FRAMES
    assert rates["ours"] > rates["csm"]
