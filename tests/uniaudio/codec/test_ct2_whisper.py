import struct

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.codec.encoders.ct2_whisper import OPENAI, TRANSFORMERS, dimensions, read_ct2, rename, transformers_config

WIDTH = 64
TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 4}


def write_ct2(
    variables: dict[str, np.ndarray], aliases: dict[str, str] | None = None, spec: str = "WhisperSpec"
) -> bytes:
    """A file as CTranslate2 writes it."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", 6), text(spec), struct.pack("<II", 3, len(variables))]
    for name, array in variables.items():
        parts += [text(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        parts += [struct.pack("<BI", TYPES[array.dtype], array.nbytes), array.tobytes()]
    parts += [struct.pack("<I", len(aliases or {})), *(text(a) + text(b) for a, b in (aliases or {}).items())]
    return b"".join(parts)


def tiny_whisper() -> dict[str, np.ndarray]:
    """One layer a side, width 64, 10 mel bands, 20 positions, 30 tokens, as half floats."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "encoder/conv1/weight": (WIDTH, 10, 3),
        "encoder/conv1/bias": (WIDTH,),
        "encoder/conv2/weight": (WIDTH, WIDTH, 3),
        "encoder/conv2/bias": (WIDTH,),
        "encoder/position_encodings/encodings": (20, WIDTH),
        "decoder/position_encodings/encodings": (448, WIDTH),
        "decoder/embeddings/weight": (30, WIDTH),
    }

    def linear(name: str, rows: int, columns: int = WIDTH) -> None:
        shapes[f"{name}/weight"], shapes[f"{name}/bias"] = (rows, columns), (rows,)

    def norm(name: str) -> None:
        shapes[f"{name}/gamma"] = shapes[f"{name}/beta"] = (WIDTH,)

    for side in ("encoder", "decoder"):
        layer = f"{side}/layer_0"
        norm(f"{side}/layer_norm")
        linear(f"{layer}/self_attention/linear_0", 3 * WIDTH)
        linear(f"{layer}/self_attention/linear_1", WIDTH)
        norm(f"{layer}/self_attention/layer_norm")
        linear(f"{layer}/ffn/linear_0", 4 * WIDTH)
        linear(f"{layer}/ffn/linear_1", WIDTH, 4 * WIDTH)
        norm(f"{layer}/ffn/layer_norm")
    linear("decoder/layer_0/attention/linear_0", WIDTH)
    linear("decoder/layer_0/attention/linear_1", 2 * WIDTH)
    linear("decoder/layer_0/attention/linear_2", WIDTH)
    norm("decoder/layer_0/attention/layer_norm")
    found = {name: (0.1 * random.standard_normal(shape)).astype(np.float16) for name, shape in shapes.items()}
    found["encoder/layer_0/self_attention/linear_0/bias"][WIDTH : 2 * WIDTH] = 0
    return found


def test_reading_inverts_writing_and_follows_aliases() -> None:
    written = tiny_whisper()
    read = read_ct2(write_ct2(written, {"decoder/projection/weight": "decoder/embeddings/weight"}))
    assert set(read) == {*written, "decoder/projection/weight"}
    for name, array in written.items():
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("cut", [3, 30, 400, -1])
def test_a_file_that_ends_early_is_named(cut: int) -> None:
    with pytest.raises(DataError, match=r"x\.bin: ends at byte"):
        read_ct2(write_ct2(tiny_whisper())[:cut], "x.bin")


def test_another_model_is_refused() -> None:
    with pytest.raises(DataError, match="must hold a WhisperSpec, but holds 'TransformerSpec'"):
        read_ct2(write_ct2({}, spec="TransformerSpec"))


def test_sizes_follow_from_the_shapes() -> None:
    sizes = dimensions(tiny_whisper())
    assert (sizes["n_mels"], sizes["n_audio_ctx"], sizes["n_vocab"]) == (10, 20, 30)
    assert (sizes["n_audio_layer"], sizes["n_audio_state"], sizes["n_audio_head"]) == (1, WIDTH, 1)


def test_the_packed_projections_come_apart_in_order() -> None:
    variables = tiny_whisper()
    packed = torch.from_numpy(variables["decoder/layer_0/self_attention/linear_0/weight"].astype(np.float32))
    state = rename(variables, OPENAI)
    names = [f"decoder.blocks.0.attn.{part}.weight" for part in ("query", "key", "value")]
    assert torch.equal(torch.cat([state[name] for name in names]), packed)
    assert "decoder.blocks.0.attn.key.bias" not in state


@pytest.mark.slow
def test_both_libraries_load_the_weights_and_encode_alike() -> None:
    from uniaudio.audio.torchaudio_cpu import import_torchaudio

    import_torchaudio()  # transformers imports it, and its CUDA build fails without this
    transformers = pytest.importorskip("transformers")
    whisper = pytest.importorskip("whisper.model")
    variables = tiny_whisper()
    openai = whisper.Whisper(whisper.ModelDimensions(**dimensions(variables)))
    openai.load_state_dict(rename(variables, OPENAI))
    hub = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**{**transformers_config(variables), "bos_token_id": 1, "eos_token_id": 2,
                                      "pad_token_id": 0, "decoder_start_token_id": 3})
    )  # fmt: skip
    report = hub.load_state_dict(rename(variables, TRANSFORMERS), strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys == ["proj_out.weight"]  # tied to the embeddings
    mel_BMT = torch.randn(1, 10, 40, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[3, 5, 7]])
    with torch.inference_mode():
        expected = openai.eval()(mel_BMT, tokens)
        hub.tie_weights()
        found = hub.eval()(input_features=mel_BMT, decoder_input_ids=tokens).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
