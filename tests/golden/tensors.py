"""Golden tensors of our own: what tiny models with weights from a formula computed when this was written.

    python -m tests.golden.tensors        writes tests/golden/{lm,codec}.safetensors anew: do so when a change is meant

No random generator makes the weights or the inputs, so that neither torch's version nor the machine decides them.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoding import encode_clips
from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.generate import generate
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.training.lm.data import PADDING_DOCUMENT, Batch
from uniaudio.training.lm.losses import LossWeights, loss_sums, total_loss

FOLDER = Path(__file__).parent
VOCABULARY = Vocabulary(
    text_size=300,
    reasoning_codes=16,
    reasoning_bos=16,
    reasoning_eos=17,
    reasoning_pad=19,
    reconstruction_offset=20,
    reconstruction_codes=16,
    reconstruction_bos=36,
    reconstruction_eos=37,
    reconstruction_pad=38,
    audio_prompt_bos=39,
    audio_prompt_eos=40,
    audio_size=44,
)
PATTERN = "tttttaaaaaaattttaaaattt."
"""Text, audio and padding positions of the language model's input."""


def wave(*shape: int, salt: int) -> Tensor:
    """Float32 numbers in -1..1 without a pattern, the same everywhere."""
    index = np.arange(int(np.prod(shape)), dtype=np.float64)
    return torch.from_numpy(np.sin(index * index * 0.37 + index * 1.7 + salt).astype(np.float32)).reshape(shape)


def fill(module: nn.Module) -> None:
    """Matrices of a gain about one, vectors (norms, biases) near what they start at."""
    with torch.no_grad():
        for salt, (name, tensor) in enumerate(module.named_parameters()):
            values = wave(*tensor.shape, salt=salt)
            if tensor.ndim > 1:
                tensor.copy_(values * (1.5 / tensor[0].numel()) ** 0.5)
            elif name.endswith("weight"):
                tensor.copy_(1 + 0.1 * values)
            else:
                tensor.copy_(0.1 * values)


def lm() -> UniAudioLM:
    stack = StackConfig(num_layers=2, width=32, num_heads=4, num_kv_heads=2, head_size=8, mlp_width=48)
    config = LMConfig(
        text_size=VOCABULARY.text_size,
        audio_size=VOCABULARY.audio_size,
        vocabulary_fingerprint=VOCABULARY.fingerprint,
        backbone=stack,
        local_decoder=StackConfig(num_layers=2, width=16, num_heads=2, num_kv_heads=1, head_size=8, mlp_width=32),
        num_understanding_layers=2,
        num_generation_layers=1,
        rope=RopeConfig(factor=32.0),
    )
    model = UniAudioLM(config)
    fill(model)
    return model.eval()


def lm_batch() -> Batch:
    """Two rows, the second one padded."""
    kinds = np.array(list(PATTERN))
    is_audio, is_text = torch.from_numpy(kinds == "a"), torch.from_numpy(kinds == "t")
    rows = [torch.arange(9 * len(kinds)).view(-1, 9) * step % 15 for step in (7, 11)]
    ids_BS9 = torch.stack(rows) + torch.tensor([20] * 8 + [4])
    return Batch(
        ids_BS9=ids_BS9,
        is_audio_BS=is_audio.repeat(2, 1),
        is_text_BS=is_text.repeat(2, 1),
        loss_BS=(is_audio | is_text).repeat(2, 1),
        document_ids_BS=torch.where(is_audio | is_text, 0, PADDING_DOCUMENT).repeat(2, 1),
    )


def of_lm() -> dict[str, Tensor]:
    """Hidden states, both heads, losses, the gradient norm of every parameter, and a greedy answer."""
    model, batch = lm(), lm_batch()
    hidden_BSD = model(batch.ids_BS9, batch.is_audio_BS, batch.is_text_BS)
    frames = hidden_BSD[batch.is_audio_BS], batch.ids_BS9[..., :8][batch.is_audio_BS]
    sums = loss_sums(model, batch, "loss_frames")
    loss = total_loss(sums, LossWeights(text=1.6, audio=1.0, streams=(3.0, 2.0, *[0.5] * 6)))
    loss.backward()
    norms = {
        f"gradient_norm.{name}": each.grad.norm() for name, each in model.named_parameters() if each.grad is not None
    }
    row = SimpleNamespace(ids=batch.ids_BS9[0, :-4].numpy(), is_audio=batch.is_audio_BS[0, :-4].numpy())
    [answer] = generate(model, [row], vocabulary=VOCABULARY, mode="audio", max_frames=10)
    found = {
        "hidden": hidden_BSD,
        "text_logits": model.text_logits(hidden_BSD[0, :6]),
        "audio_logits": model.audio_logits(*frames)[:3],
        "text_loss": sums.text,
        "audio_losses": sums.audio_Q,
        "loss": loss,
        "greedy_reasoning": torch.from_numpy(answer.reasoning_codes).long(),
        "greedy_reconstruction": torch.from_numpy(answer.reconstruction_codes).long(),
    }
    return {name: tensor.detach().contiguous() for name, tensor in {**found, **norms}.items()}


def codec() -> ReasoningCodec:
    """The debug size."""
    config = CodecConfig.preset("debug")
    model = ReasoningCodec.create(config)
    fill(model)
    with torch.no_grad():
        for salt, (name, tensor) in enumerate(model.named_buffers()):
            if name.endswith("vectors"):
                level = int(name.split(".")[-2])
                tensor.copy_(wave(*tensor.shape, salt=salt) * (0.1 if "reasoning" in name else 1.0) * 0.7**level)
    return model.eval()


def of_codec() -> dict[str, Tensor]:
    """Hidden states and codes of 0.9 s, latents of the autoencoder, and audio of two seconds' codes with and without reasoning."""
    model, time_N = codec(), np.arange(21_600) / 24_000
    clip_1N = torch.from_numpy(0.3 * np.sin(2 * np.pi * (200 + 900 * time_N) * time_N)).float()[None]
    [encoded] = encode_clips(model, [clip_1N], sample_rate=24_000, keep_hidden=True)
    codes = Codes(
        (np.arange(80).reshape(10, 8) * 7 % 64).astype(np.int16),
        (np.arange(200).reshape(25, 8) * 11 % 128).astype(np.int16),
        48_000,
    )
    with torch.inference_mode():
        latents = model.scalar.encode(clip_1N[:, :9_600])
    return {
        "reasoning_hidden": encoded.reasoning_hidden,
        "reasoning_codes": encoded.reasoning_codes,
        "reconstruction_hidden": encoded.reconstruction_hidden,
        "reconstruction_codes": encoded.reconstruction_codes,
        "latents": latents.clone(),
        "audio": torch.from_numpy(model.decode([codes], steps=2)[0][::8].copy()),
        "audio_with_reasoning": torch.from_numpy(model.decode([codes], steps=2, use_reasoning=True)[0][::8].copy()),
    }


if __name__ == "__main__":
    save_file(of_lm(), FOLDER / "lm.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in of_codec().items()}, FOLDER / "codec.safetensors")
