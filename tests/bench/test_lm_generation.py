"""Frames per CPU-second against `transformers` Csm and Dia at matched sizes.

    pytest -m bench -s tests/bench/test_lm_generation.py

Csm has our shape (a backbone, and a depth decoder over 8 codebooks), so it gets the same depth decoder and as many layers
as our backbone and experts together. Dia has no depth decoder, and predicts all channels of a frame at once: it gets as
many channels and codes, and the same number of parameters a frame reads, in its decoder. The floor is what reading these
weights once a frame costs, at the rate at which this machine sums a long vector.

Both run as `transformers` runs them, with their own caches; ours as it is and compiled (`UniAudioLM.compile_decoding`). Theirs
are not compiled: `torch.compile` of Csm's two stacks, width 128, did not end within 170 s.
"""

from typing import Any

import pytest
import torch

from tests.bench.lm_shapes import a_prompt, a_vocabulary, build, config_of, fill, seconds
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.lm.config import StackConfig
from uniaudio.lm.generate import generate
from uniaudio.lm.model import UniAudioLM

pytestmark = pytest.mark.bench
NUM_FRAMES, NUM_PROMPT = 24, 32
NUM_LAYERS, DEPTH_LAYERS, EXPERTS = 9, 4, (2, 1)
VOCABULARY = a_vocabulary(text_size=2048)
TOTAL_LAYERS = NUM_LAYERS + sum(EXPERTS)


def a_stack(num_layers: int, width: int) -> StackConfig:
    """Heads of 32, four of them to a key; a width of 512 is read from memory, one of 128 stays in the cache."""
    heads = width // 32
    return StackConfig(
        num_layers=num_layers, width=width, num_heads=heads, num_kv_heads=heads // 4, head_size=32, mlp_width=3 * width
    )


def a_csm(width: int) -> Any:
    from transformers import CsmConfig, CsmDepthDecoderConfig, CsmForConditionalGeneration

    stack = a_stack(TOTAL_LAYERS, width)
    shared: dict[str, Any] = {
        "num_codebooks": 8,
        "vocab_size": VOCABULARY.audio_size,
        "hidden_size": stack.width,
        "intermediate_size": stack.mlp_width,
        "num_attention_heads": stack.num_heads,
        "num_key_value_heads": stack.num_kv_heads,
        "head_dim": stack.head_size,
    }
    depth = CsmDepthDecoderConfig(
        **shared, backbone_hidden_size=width, num_hidden_layers=DEPTH_LAYERS, max_position_embeddings=9
    )
    config = CsmConfig(
        **shared, text_vocab_size=2048, num_hidden_layers=TOTAL_LAYERS, depth_decoder_config=depth.to_dict(),
        pad_token_id=0, bos_token_id=1, audio_token_id=2, audio_eos_token_id=3, codebook_pad_token_id=2058,
        codec_config={"model_type": "mimi", "num_hidden_layers": 1},
    )  # fmt: skip
    model = CsmForConditionalGeneration(config).eval().requires_grad_(False)
    fill(model)
    return model


def a_dia(width: int) -> Any:
    from transformers import DiaConfig, DiaForConditionalGeneration
    from transformers.models.dia.configuration_dia import DiaDecoderConfig, DiaEncoderConfig

    # Our layers are read once a frame, those of the depth decoder eight times. A layer of Dia also has cross attention,
    # of which a step reads two of the four matrices.
    ours = width * (2.5 * width) + 9 * width * width
    layers = round((TOTAL_LAYERS + 8 * DEPTH_LAYERS) * ours / (ours + 2 * width * width))
    heads = width // 32
    decoder = DiaDecoderConfig(
        num_hidden_layers=layers, hidden_size=width, intermediate_size=3 * width, num_attention_heads=heads,
        num_key_value_heads=heads // 4, head_dim=32, cross_num_attention_heads=heads, cross_head_dim=32,
        cross_num_key_value_heads=heads, cross_hidden_size=width, vocab_size=VOCABULARY.audio_size, num_channels=8,
    )  # fmt: skip
    encoder = DiaEncoderConfig(
        num_hidden_layers=2, hidden_size=width, num_attention_heads=heads, num_key_value_heads=heads, head_dim=32,
        intermediate_size=3 * width,
    )  # fmt: skip
    config = DiaConfig(
        encoder_config=encoder.to_dict(), decoder_config=decoder.to_dict(), delay_pattern=[0, *range(8, 15)]
    )
    model = DiaForConditionalGeneration(config).eval().requires_grad_(False)
    fill(model)
    return model


def bytes_of_a_frame(model: UniAudioLM) -> int:
    """Weights that one frame reads: the trunk once, projection and depth decoder once a codebook, each head once."""
    trunk = model.num_parameters(["backbone", "understanding_expert", "generation_expert"])
    read = trunk + 8 * model.num_parameters(["projection", "local_decoder"]) + model.num_parameters(["audio_head"])
    return read * model.text_head.weight.element_size()


def bytes_a_second() -> float:
    vector = torch.ones(1 << 26)
    return 4 * len(vector) / seconds(vector.sum)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(("width", "batch"), [(128, 1), (128, 8), (512, 1), (512, 8)])
def test_frames_per_cpu_second_against_csm_and_dia(
    width: int, batch: int, dtype: torch.dtype, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    import_torchaudio()
    torch.manual_seed(0)
    shape = config_of(VOCABULARY, a_stack(NUM_LAYERS, width), a_stack(DEPTH_LAYERS, width), EXPERTS)
    ours, csm, dia = build(shape, dtype), a_csm(width).to(dtype), a_dia(width).to(dtype)
    prompt = a_prompt(NUM_PROMPT, 0, VOCABULARY)
    text = torch.randint(4, 255, (batch, NUM_PROMPT))
    counts: dict[str, int] = {}

    def run_ours() -> None:
        ours.compile_decoding(False)
        counts["ours"] = num_frames()

    def run_compiled() -> None:
        ours.compile_decoding()
        counts["compiled"] = num_frames()

    def num_frames() -> int:
        mode, prompts = ("reconstruction",), [prompt] * batch
        answers = generate(ours, prompts, vocabulary=VOCABULARY, mode=mode, max_frames=NUM_FRAMES)
        return sum(len(answer.reconstruction_codes) for answer in answers)

    def run_csm() -> None:
        made = csm.generate(input_ids=text, max_new_tokens=NUM_FRAMES, do_sample=False, depth_decoder_do_sample=False)
        counts["csm"] = made.shape[0] * made.shape[1]

    def run_dia() -> None:
        made = dia.generate(input_ids=text, max_new_tokens=NUM_FRAMES, do_sample=False, guidance_scale=1.0)
        counts["dia"] = made.shape[0] * min(made.shape[1], NUM_FRAMES)

    runs = {"ours": run_ours, "compiled": run_compiled, "csm": run_csm, "dia": run_dia}
    times = dict(zip(runs, seconds(*runs.values(), turns=3), strict=True))
    rates = {name: counts[name] / times[name] for name in times}
    floor = bytes_of_a_frame(ours) / bytes_a_second()
    with capsys.disabled():
        print(
            f"\n{dtype}, width {width}, batch {batch}: {floor * 1e3:.1f} ms to read a frame's weights; Csm and Dia not compiled"
        )
        for name in runs:
            against = f"{rates[name] / rates['csm']:.2f} of Csm, {rates[name] / rates['dia']:.2f} of Dia"
            print(
                f"  {name:9}{1e3 * batch * times[name] / counts[name]:7.1f} ms a step, {rates[name]:7.1f} frames a CPU-second: {against}"
            )
    assert counts["compiled"] == counts["ours"] == batch * NUM_FRAMES
    assert rates["ours"] > 0.8 * rates["csm"]
