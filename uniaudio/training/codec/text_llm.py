"""A causal language model that reads reasoning frames as soft tokens: frozen, adapted by LoRA, any that transformers loads.

Reads    reasoning vectors `[B, R, D]`, a question and an answer each
Writes   the cross-entropy of the answer's tokens; answers of its own
Row in   BOS "USER: <Speech>" frames "</Speech> What is said?\\nASSISTANT:" " let's go" EOS   (the released template)

Only the projection and the adapters are parameters of the module: the model itself is neither moved, trained nor saved
with it.
"""

# Shapes: B batch, R reasoning frames, S positions, D codec width, W model width, V vocabulary

from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.encoders.frozen import import_transformers
from uniaudio.codec.recomputation import recomputed
from uniaudio.codec.text_policy import (
    IGNORED,
    Likelihood,
    TextPolicy,
    answer_likelihood,
    append_token,
    draw_tokens,
)

BEFORE_AUDIO, AFTER_AUDIO = "USER: <Speech>", "</Speech> {question}\nASSISTANT:"
ADAPTED = ("q_proj", "v_proj")
"""Linear layers with an adapter, as in the released training."""
MAX_ANSWER_TOKENS = 512


class LoadedModel(NamedTuple):
    """A language model as transformers loads it."""

    model: Any
    tokenizer: Any


class Adapter(nn.Module):
    """LoRA (Hu et al. 2021): a low-rank addition to a frozen linear layer, zero at first."""

    def __init__(self, in_dim: int, out_dim: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(in_dim, rank, bias=False)
        self.up = nn.Linear(rank, out_dim, bias=False)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., I]` -> `[..., O]`: the frozen product plus the low-rank one."""
        # Alpha is the rank, so the scale is 1.
        out: Tensor = self.up(self.down(self.dropout(x)))
        return out


class TextLLM(TextPolicy):
    """The frozen model with an adapter at every query and value projection, and a linear layer into its width."""

    def __init__(self, codec_dim: int, loaded: LoadedModel, *, rank: int, dropout: float) -> None:
        super().__init__()
        # In a tuple, so that it is no submodule.
        self._frozen = (loaded.model.requires_grad_(False).eval(), loaded.tokenizer)
        self.project = nn.Linear(codec_dim, self._model.config.hidden_size)
        layers = [layer for name, layer in self._model.named_modules() if name.rpartition(".")[2] in ADAPTED]
        if not layers:
            raise UsageError(f"`text_model` must have layers named {' and '.join(ADAPTED)}, but has none.")
        self.adapters = nn.ModuleList(Adapter(layer.in_features, layer.out_features, rank, dropout) for layer in layers)
        for index, layer in enumerate(layers):
            layer.register_forward_hook(self._hook(index))
        for block in _blocks(self._model, layers):
            block.forward = self._recomputing(block.forward)

    @property
    def _model(self) -> Any:
        return self._frozen[0]

    @property
    def _tokenizer(self) -> Any:
        return self._frozen[1]

    def forward(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, texts: Sequence[str], questions: Sequence[str] | None = None
    ) -> Tensor:
        answers = [self._answer(text) for text in texts]
        logits_BSV, targets_BS = self._answered(reasoning_BRD, valid_BR, questions or [""] * len(texts), answers)
        return cross_entropy(logits_BSV.flatten(0, 1), targets_BS.flatten(), ignore_index=IGNORED)

    def num_targets(self, texts: Sequence[str], questions: Sequence[str]) -> int:
        return sum(len(self._answer(text)) for text in texts)

    def likelihood(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, questions: Sequence[str], answers: Sequence[Sequence[int]]
    ) -> Likelihood:
        return answer_likelihood(*self._answered(reasoning_BRD, valid_BR, questions, answers))

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    @torch.no_grad()
    def sample(
        self,
        reasoning_BRD: Tensor,
        valid_BR: Tensor,
        questions: Sequence[str],
        uniforms_BS: Tensor,
        temperature: float = 1.0,
    ) -> list[list[int]]:
        rows = self._prompts(reasoning_BRD, valid_BR, questions)
        lengths_B = torch.tensor([len(row) for row in rows], device=reasoning_BRD.device)
        prompt_BSW = pad_sequence(rows, batch_first=True, padding_side="left")
        index_S = torch.arange(prompt_BSW.shape[1], device=reasoning_BRD.device)
        first_B1 = prompt_BSW.shape[1] - lengths_B[:, None]
        positions_BS, real_BS = (index_S - first_B1).clamp(min=0), (index_S >= first_B1).long()
        inputs: dict[str, Tensor] = {"inputs_embeds": prompt_BSW, "position_ids": positions_BS}
        end, past = self._tokenizer.eos_token_id, None
        answers: list[list[int]] = [[] for _ in questions]
        limit = min(uniforms_BS.shape[1], MAX_ANSWER_TOKENS)
        for step in range(limit):
            result = self._model(**inputs, attention_mask=real_BS, past_key_values=past, use_cache=True)
            past = result.past_key_values
            tokens_B = draw_tokens(result.logits[:, -1], uniforms_BS[:, step], temperature)
            going = [
                append_token(answer, token, end, limit)
                for answer, token in zip(answers, tokens_B.tolist(), strict=True)
            ]
            if not any(going):
                break
            inputs = {"input_ids": tokens_B[:, None], "position_ids": (lengths_B + step)[:, None]}
            real_BS = torch.cat([real_BS, real_BS.new_ones(len(real_BS), 1)], dim=1)
        return answers

    def _answered(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, questions: Sequence[str], answers: Sequence[Sequence[int]]
    ) -> tuple[Tensor, Tensor]:
        """Logits `[B, S, V]`, S from the last token of the shortest prompt on, and their targets."""
        prompts = self._prompts(reasoning_BRD, valid_BR, questions)
        device = reasoning_BRD.device
        rows = [
            torch.cat([prompt, self._embed(list(answer[:-1]), device)])
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        targets = [
            torch.tensor([*[IGNORED] * (len(prompt) - 1), *answer], device=device)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        inputs_BSW = pad_sequence(rows, batch_first=True)
        targets_BS = pad_sequence(targets, batch_first=True, padding_value=IGNORED)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        real_BS = (torch.arange(inputs_BSW.shape[1], device=device) < lengths[:, None]).long()
        # A cache would be filled twice where blocks are computed again.
        hidden_BSW = self._model.base_model(
            inputs_embeds=inputs_BSW, attention_mask=real_BS, use_cache=False
        ).last_hidden_state
        # Logits of the answers alone: a vocabulary is much wider than the model.
        first = min(len(prompt) for prompt in prompts) - 1
        return self._model.get_output_embeddings()(hidden_BSW[:, first:]), targets_BS[:, first:]

    def _prompts(self, reasoning_BRD: Tensor, valid_BR: Tensor, questions: Sequence[str]) -> list[Tensor]:
        """Embeddings `[S, W]` of each prompt up to the answer."""
        begin = self._tokenizer.bos_token_id
        before = [*([] if begin is None else [begin]), *self._ids(BEFORE_AUDIO)]
        before_SW = self._embed(before, reasoning_BRD.device)
        soft_BRW = self.project(reasoning_BRD)
        return [
            torch.cat(
                [
                    before_SW,
                    soft_RW[valid_R],
                    self._embed(self._ids(AFTER_AUDIO.format(question=question)), reasoning_BRD.device),
                ]
            )
            for soft_RW, valid_R, question in zip(soft_BRW, valid_BR, questions, strict=True)
        ]

    def _answer(self, text: str) -> list[int]:
        return [*self._ids(f" {text}")[:MAX_ANSWER_TOKENS], self._tokenizer.eos_token_id]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _embed(self, ids: list[int], device: torch.device) -> Tensor:
        embedded: Tensor = self._model.get_input_embeddings()(torch.tensor(ids, dtype=torch.int64, device=device))
        return embedded

    def _recomputing(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(forward)
        def run(*arguments: Any, **named: Any) -> Any:
            # Adapters drop out: the second pass must draw what the first one drew.
            return recomputed(partial(forward, **named), self.recomputation, *arguments, draws=True)

        return run

    def _hook(self, index: int) -> Any:
        def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            adapted: Tensor = output + self.adapters[index](inputs[0])
            return adapted

        return add


def _blocks(model: Any, adapted: Sequence[nn.Module]) -> list[nn.Module]:
    """The layers of the model's longest list each of whose members holds an adapted layer."""
    inside = set(adapted)
    lists = [one for one in model.modules() if isinstance(one, nn.ModuleList) and len(one)]
    stacks = [list(one) for one in lists if all(inside & set(block.modules()) for block in one)]
    return max(stacks, key=len, default=[])


def load_model(folder: str | Path, device: torch.device) -> LoadedModel:
    """A causal language model and its tokenizer from a local folder, in float32; nothing is ever downloaded."""
    if not Path(folder).is_dir():
        raise UsageError(f"`text_model` must be a local folder, but {folder} is none.")
    transformers = import_transformers()
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a causal language model with a tokenizer: {error}") from error
    return LoadedModel(model.to(device), tokenizer)
