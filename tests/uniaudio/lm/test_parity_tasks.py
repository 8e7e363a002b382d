"""Golden prompts, logits and scripted answers of 13 tasks, by the authors' own loop.

`pytest -k "parity and lm"` selects them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from uniaudio.lm.answer import Answer
from uniaudio.lm.config import LMConfig
from uniaudio.lm.grammar import FrameIds, Grammar
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.compat import (
    CompatDecoder,
    CompatFrame,
    CompatIds,
    CompatSampling,
    generate_audio_compat,
    generate_text_compat,
)

HEAD_SIZE = 8
IDS = CompatIds(reasoning_end=4097, reconstruction_end=8192, reconstruction_offset=4100, text_end=128001)
AUDIO_TASKS = ("TTS", "LTS", "TTA", "TTM", "InstructTTS", "speech_s2s", "speech_edit", "prompt_instruct_tts")
TEXT_TASKS = ("ASR", "lyric_recognition", "audio_caption", "audio_understanding", "speech_s2t")


@pytest.fixture(scope="module")
def tasks(parity_folder: Path) -> dict[str, Any]:
    return torch.load(parity_folder / "tasks_io.pt", weights_only=True)["tasks"]


@pytest.fixture(scope="module")
def model(released_model: Callable[[str, int], UniAudioLM]) -> UniAudioLM:
    return released_model("tasks_model.checkpoint", HEAD_SIZE)


class Scripted(CompatDecoder):
    """Runs the model, keeps what it saw, and answers with the script."""

    def __init__(self, model: UniAudioLM, script: Tensor) -> None:
        super().__init__(model, CompatSampling(top_k=1))
        self.script, self.fed, self.frames = script, [], []

    def step(self, ids_B19: Tensor, is_audio_B1: Tensor, *, forbid_below: int = 0) -> CompatFrame:
        scripted = self.script[len(self.frames)][None]
        # The first steps are compared with the dump; the rest only drive the state machine.
        sampled = super().step(ids_B19, is_audio_B1, forbid_below=forbid_below) if len(self.frames) < 2 else None
        self.frames.append(sampled)
        self.fed.append((ids_B19, is_audio_B1, forbid_below))
        empty = torch.empty(0)
        return CompatFrame(scripted[:, 0].long(), scripted[:, 1:].long(), empty, empty)


def prompt_of(task: dict[str, Any]) -> tuple[Tensor, Tensor]:
    first_call = task["log"]["calls"]["values"][0]
    ids = torch.cat([task["log"]["prefix_tokens"], first_call["in_tokens"].long()], dim=1)
    is_audio = torch.cat(
        [task["log"]["prefix_mask"][:, : ids.shape[1] - 1, 0].bool(), first_call["in_mask"][:, :, 0]], 1
    )
    return ids, is_audio


def check_calls(decoder: Scripted, task: dict[str, Any]) -> None:
    """The first two calls: fed ids, modality, forbidden prefix, logits of both heads."""
    for (ids, is_audio, forbid_below), frame, call in zip(
        decoder.fed, decoder.frames, task["log"]["calls"]["values"], strict=False
    ):
        assert torch.equal(is_audio, call["in_mask"][:, :, 0])
        column = slice(0, 8) if bool(is_audio) else slice(8, 9)
        assert torch.equal(ids[..., column], call["in_tokens"][..., column].long())
        assert forbid_below == call["kw"]["forbid_prefix"]
        logits = call["logits"]
        torch.testing.assert_close(frame.audio_logits_B8V, logits["audio"], atol=5e-5, rtol=0)
        torch.testing.assert_close(frame.text_logits_BV[:, :256], logits["text_0_256"], atol=5e-5, rtol=0)
        torch.testing.assert_close(
            frame.text_logits_BV[:, 127990:128032], logits["text_127990_128032"], atol=5e-5, rtol=0
        )
        torch.testing.assert_close(frame.text_logits_BV.logsumexp(-1), logits["text_lse"], atol=5e-5, rtol=0)
        assert torch.equal(frame.text_logits_BV.argmax(-1), logits["text_argmax"])
        sampled = torch.cat([frame.text_id_B[:, None], frame.codes_B8], dim=1)
        assert torch.equal(sampled, call["model_sample"].long())


@pytest.mark.parametrize("name", AUDIO_TASKS)
def test_parity_of_audio_tasks(model: UniAudioLM, tasks: dict[str, Any], name: str) -> None:
    decoder = Scripted(model, tasks[name]["script"])
    reasoning, reconstruction = generate_audio_compat(decoder, *prompt_of(tasks[name]), IDS)
    check_calls(decoder, tasks[name])
    assert torch.equal(reasoning, tasks[name]["result"][0])
    assert torch.equal(reconstruction, tasks[name]["result"][1])


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_parity_of_text_tasks(model: UniAudioLM, tasks: dict[str, Any], name: str) -> None:
    decoder = Scripted(model, tasks[name]["script"])
    text_ids = generate_text_compat(decoder, *prompt_of(tasks[name]), IDS)
    check_calls(decoder, tasks[name])
    result = tasks[name]["result"]
    expected = result if isinstance(result, str) else result[0]
    assert " ".join(map(str, text_ids)) == expected


@pytest.mark.parametrize("name", AUDIO_TASKS)
def test_parity_of_the_default_grammar_on_a_legal_answer(tasks: dict[str, Any], name: str) -> None:
    """An answer without mistakes comes out of `generate`'s state machine as it came out of the authors'."""
    frames = {
        "reasoning": FrameIds(first_code=0, num_codes=4096, begin=4096, end=4097, pad=4099),
        "reconstruction": FrameIds(first_code=4100, num_codes=8192, begin=12293, end=12292, pad=12294),
    }
    grammar = Grammar(
        text_size=128256,
        audio_size=12300,
        text_end=128001,
        text_pad=128020,
        text_specials=frozenset(),
        closers={},
        frames=frames,
    )
    answer = Answer(grammar, ("reasoning", "reconstruction"), max_frames=100, max_text=1)
    fed = []
    for codes in tasks[name]["script"][:, 1:].tolist():
        if answer.queue:
            position = answer.queue.popleft()
            assert position.ids[:8] == tuple(codes), "the forced frame is the one the script has"
        else:
            answer.accept(codes)
            if not answer.is_done:
                position = answer.queue.popleft()
                assert position.ids[:8] == tuple(codes)
        fed.append(codes)
    assert answer.is_done
    reasoning, reconstruction = tasks[name]["result"]
    assert torch.equal(torch.from_numpy(answer.result().reasoning_codes).T.int(), reasoning)
    assert torch.equal(torch.from_numpy(answer.result().reconstruction_codes).T.int(), reconstruction)


def test_parity_config_has_the_sizes_of_the_dump(model: UniAudioLM) -> None:
    config: LMConfig = model.config
    assert (config.text_size, config.audio_size, config.num_understanding_layers) == (128256, 12300, 3)
