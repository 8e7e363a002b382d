"""Whisper's own decoder as a reader of reasoning frames: what must be in them for a transcript to be written.

Reads    reasoning vectors `[B, R, D]` (5 Hz) and transcripts
Writes   the cross-entropy of the transcripts' tokens, and how far the frames, spread to 50 Hz, are from Whisper's states

The decoder is frozen and knows its languages already; what learns is the way from the frames to the states that it expects.
A small decoder that starts from nothing needs hours of speech before it says what it hears.
"""

# Shapes: B batch, R reasoning frames (5 Hz), T states (50 Hz), S tokens, D codec width, W Whisper's width

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.frames import REASONING_HOP, SAMPLE_RATE
from uniaudio.codec.blocks import Blocks
from uniaudio.codec.encoders.frozen import import_transformers
from uniaudio.training.codec.text_policy import IGNORED

STATES_PER_FRAME = 50 * REASONING_HOP // SAMPLE_RATE
NUM_LAYERS, KERNEL_SIZE, FF_MULTIPLIER = 3, 5, 3
MAX_TOKENS = 96
"""Of a transcript; the rest is left out."""
START, TASK, END = "<|startoftranscript|>", ("<|transcribe|>", "<|notimestamps|>"), "<|endoftext|>"


class Reading(NamedTuple):
    """What a reader finds in reasoning frames."""

    text: Tensor
    """Nats a token, end included."""
    states: Tensor
    """Mean squared error of Whisper's states over their variance."""


class WhisperReader(nn.Module):
    """Reasoning frames to Whisper's states, which its frozen decoder reads."""

    def __init__(self, codec_dim: int, folder: str | Path) -> None:
        """`folder`: a transformers folder with `tokenizer.json`, as `prepare-models` writes it."""
        super().__init__()
        # In a tuple: neither trained nor saved with what is.
        self._frozen = (_load_model(Path(folder)),)
        self._tokenizer = _load_tokenizer(Path(folder))
        self.blocks = Blocks(codec_dim, NUM_LAYERS, KERNEL_SIZE, FF_MULTIPLIER)
        self.norm = nn.LayerNorm(codec_dim)
        self.project = nn.Linear(codec_dim, STATES_PER_FRAME * self._model.config.d_model)

    @property
    def _model(self) -> Any:
        return self._frozen[0]

    def to(self, *args: Any, **kwargs: Any) -> "WhisperReader":
        """The frozen decoder goes along."""
        self._model.to(*args, **kwargs)
        moved: WhisperReader = super().to(*args, **kwargs)
        return moved

    def states(self, reasoning_BRD: Tensor, valid_BR: Tensor) -> Tensor:
        """`[B, R, D]`, of which `valid_BR` are real, -> `[B, T, W]`; what is behind the end is 0."""
        x_BRD = self.norm(self.blocks(reasoning_BRD * valid_BR[..., None]))
        states_BTW: Tensor = self.project(x_BRD).unflatten(-1, (STATES_PER_FRAME, -1)).flatten(1, 2)
        return states_BTW * valid_BR.repeat_interleave(STATES_PER_FRAME, dim=1)[..., None]

    def forward(
        self,
        reasoning_BRD: Tensor,
        valid_BR: Tensor,
        texts: Sequence[str],
        languages: Sequence[str],
        whisper_BTW: Tensor,
    ) -> Reading:
        """`whisper_BTW` are Whisper's own states of the clips. A clip without a text counts among the states alone; a language
        that is empty, or that Whisper has no name for, is neither told nor asked for."""
        states_BTW = self.states(reasoning_BRD, valid_BR)
        valid_BT1 = valid_BR.repeat_interleave(STATES_PER_FRAME, dim=1)[:, : whisper_BTW.shape[1], None]
        difference_BTW = (states_BTW[:, : whisper_BTW.shape[1]] - whisper_BTW) * valid_BT1
        spread = (whisper_BTW.var(dim=(0, 1), keepdim=True) * valid_BT1).sum()
        error = difference_BTW.square().sum() / spread.clamp(min=1e-6)
        told = [row for row, text in enumerate(texts) if text.strip()]
        if not told:
            return Reading(torch.zeros_like(error), error)
        inputs_BS, targets_BS = self._pack([texts[row] for row in told], [languages[row] for row in told], error.device)
        logits_BSV = self._logits(states_BTW[told], inputs_BS)
        return Reading(cross_entropy(logits_BSV.flatten(0, 1), targets_BS.flatten(), ignore_index=IGNORED), error)

    @torch.no_grad()
    def transcripts(self, reasoning_BRD: Tensor, valid_BR: Tensor, languages: Sequence[str]) -> list[str]:
        """The likeliest token after the other, until each row has ended."""
        states_BTW = self.states(reasoning_BRD, valid_BR)
        prefixes = [self._prefix(language) for language in languages]
        if len({len(prefix) for prefix in prefixes}) > 1:
            raise UsageError("`languages` must be known of all clips or of none.")
        ids_BS = torch.tensor(prefixes, device=states_BTW.device)
        num_given, end = ids_BS.shape[1], self._id(END)
        ended_B = torch.zeros(len(ids_BS), dtype=torch.bool, device=ids_BS.device)
        cache = None
        for _ in range(MAX_TOKENS):
            asked_BS = ids_BS if cache is None else ids_BS[:, -1:]
            out = self._model.model.decoder(
                input_ids=asked_BS, encoder_hidden_states=states_BTW, past_key_values=cache, use_cache=True
            )
            cache = out.past_key_values
            logits_BV = out.last_hidden_state[:, -1] @ self._model.proj_out.weight.T
            next_B = torch.where(ended_B, end, self._plain(logits_BV).argmax(dim=-1))
            ids_BS = torch.cat([ids_BS, next_B[:, None]], dim=1)
            ended_B |= next_B == end
            if ended_B.all():
                break
        return [self._tokenizer.decode(row[num_given:], skip_special_tokens=True).strip() for row in ids_BS.tolist()]

    def _plain(self, logits_BV: Tensor) -> Tensor:
        """Without the marks behind the end of a text, of which Whisper's first are languages and times."""
        logits_BV[:, self._id(END) + 1 :] = -torch.inf
        return logits_BV

    def _logits(self, states_BTW: Tensor, inputs_BS: Tensor) -> Tensor:
        out = self._model.model.decoder(input_ids=inputs_BS, encoder_hidden_states=states_BTW, use_cache=False)
        logits_BSV: Tensor = out.last_hidden_state @ self._model.proj_out.weight.T
        return logits_BSV

    def _pack(self, texts: Sequence[str], languages: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs and targets `[B, S]` int64: start, language, task, text, end; what is told of them is not asked for."""
        inputs, targets = [], []
        for text, language in zip(texts, languages, strict=True):
            prefix = self._prefix(language)
            ids = [
                *self._tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids[:MAX_TOKENS],
                self._id(END),
            ]
            inputs.append([*prefix, *ids[:-1]])
            targets.append([*[IGNORED] * (len(prefix) - 1), *ids])
        width = max(map(len, inputs))
        end = self._id(END)
        inputs_BS = torch.tensor([row + [end] * (width - len(row)) for row in inputs], device=device)
        return inputs_BS, torch.tensor([row + [IGNORED] * (width - len(row)) for row in targets], device=device)

    def _prefix(self, language: str) -> list[int]:
        mark = self._tokenizer.token_to_id(f"<|{language}|>") if language else None
        return [self._id(START), *([] if mark is None else [mark]), *map(self._id, TASK)]

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise DataError(f"tokenizer.json: must hold Whisper's {token}, but does not.")
        return int(found)


def _load_model(folder: Path) -> Any:
    try:
        model = import_transformers().WhisperForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"`reader` must be a folder of Whisper, but {folder} is none: {error}") from error
    # Its encoder is the codec's.
    del model.model.encoder
    # As the codec computes; folders hold halves.
    return model.float().requires_grad_(False).eval()


def _load_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UsageError(f"`reader` must be a folder of Whisper with its tokenizer, but {path} is missing.")
    return Tokenizer.from_file(str(path))
