"""What decoding costs and how it is steered: no part runs unused, shapes are constant, streams are drawn their own way."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.config import LMConfig
from uniaudio.lm.frame_sampler import FrameSampler
from uniaudio.lm.generate import Decoding, generate
from uniaudio.lm.grammar import grammar_of
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.prompts import blank, read_prompt
from uniaudio.lm.repetition import penalize, recent_ids, repeating_ids
from uniaudio.lm.sampling import Draw, Sampling
from uniaudio.lm.ways import Ways
from uniaudio.sequence.condition_dropout import without_condition
from uniaudio.sequence.layout import Grid
from uniaudio.sequence.vocabulary import Vocabulary

VOCABULARY = Vocabulary()
EOS = VOCABULARY.text_specials["eos"]
MakeRow = Callable[..., SimpleNamespace]
WARM = Sampling(temperature=1.0, top_k=40, top_p=0.95, seed=11)


@pytest.fixture(scope="module")
def model() -> UniAudioLM:
    model = UniAudioLM(LMConfig.preset("debug", VOCABULARY), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def prompt(make_row: MakeRow) -> SimpleNamespace:
    return make_row("tttaaaaaaaaa", 1)


def called(model: UniAudioLM, run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that ran, in order; the local decoder once a codebook."""
    calls: list[str] = []
    names = ("understanding_expert", "backbone", "generation_expert", "text_head")
    hooks = [getattr(model, name).register_forward_hook(lambda *_, name=name: calls.append(name)) for name in names]
    original = FrameSampler._logits

    def logits(*given: Any) -> torch.Tensor:
        calls.append("local_decoder")
        return original(*given)

    monkeypatch.setattr(FrameSampler, "_logits", logits)
    run()
    for hook in hooks:
        hook.remove()
    return calls


def test_an_audio_answer_runs_the_prompt_once_without_a_head_and_never_the_text_head(
    model: UniAudioLM, prompt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        [answer] = generate(model, [prompt], vocabulary=VOCABULARY, mode="reasoning", max_frames=5, sampling=WARM)
        assert len(answer.reasoning_codes) == 2

    trunk = ["understanding_expert", "backbone", "generation_expert"]
    frame = ["local_decoder"] * 8
    assert called(model, run, monkeypatch) == trunk + frame + trunk + frame


@pytest.mark.parametrize(("mode", "num_layers"), [("text", 4), ("reasoning", 4 + 1 + 1)])
def test_the_cache_holds_prompt_and_cap_and_only_the_stacks_that_decode(
    model: UniAudioLM, prompt: SimpleNamespace, mode: str, num_layers: int
) -> None:
    caps = (20, 30)
    decoding = Decoding(model, [prompt], VOCABULARY, (mode,), caps, Sampling(), None)
    sizes = {decoding.cache.num_bytes for _ in decoding.run()}
    begin, most = (0, 30) if mode == "text" else (1, 8)
    positions = len(prompt.ids) + begin + most + 2
    per_position = 2 * model.config.backbone.num_kv_heads * model.config.backbone.head_size * 4
    assert max(sizes) == num_layers * positions * per_position
    assert decoding.cache.num_bytes == 0, "an answer that is done holds nothing"


class Recorder(TorchDispatchMode):
    """Every operation and the shapes it met."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[tuple[int, ...], ...]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shapes = tuple(tuple(value.shape) for value in args if isinstance(value, torch.Tensor))
        self.seen.append((str(function), shapes))
        return function(*args, **(kwargs or {}))


def frames(model: UniAudioLM, sampling: Sampling) -> tuple[FrameSampler, list[tuple[Any, ...]]]:
    """A sampler and the inputs of three frames that differ in everything but shape."""
    generator = torch.Generator().manual_seed(0)
    copies, ways = 2 if sampling.is_guided else 1, Ways([sampling] * 3, model.device)
    inputs = [
        (
            torch.randn(3 * copies, model.config.width, generator=generator),
            ways,
            torch.tensor(kinds),
            torch.tensor(may_end),
            torch.rand(3, 9, dtype=torch.float64, generator=generator),
        )
        for kinds, may_end in (
            ([0, 0, 0], [False, False, False]),
            ([1, 0, 1], [True, False, True]),
            ([1, 1, 1], [True] * 3),
        )
    ]
    return FrameSampler(model, grammar_of(VOCABULARY)), inputs


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), WARM, Sampling(temperature=0.8, cfg_scale=2.0), Sampling(groups={"acoustic": Draw(temperature=1.0)})],
    ids=["greedy", "warm", "guided", "groups"],
)
def test_every_frame_runs_the_same_operations_on_the_same_shapes_and_waits_for_nothing(
    model: UniAudioLM, sampling: Sampling
) -> None:
    sampler, inputs = frames(model, sampling)
    runs = []
    for given in inputs:
        with Recorder() as recorder:
            sampler.draw(*given, None)
        runs.append(recorder.seen)
    assert runs[0] == runs[1] == runs[2]
    assert not [name for name, _ in runs[0] if "_local_scalar_dense" in name or "nonzero" in name or "item" in name]


@pytest.mark.slow
def test_the_depth_loop_compiles_once_to_one_graph(model: UniAudioLM) -> None:
    import torch._dynamo
    from torch._dynamo.testing import CompileCounter

    sampler, inputs = frames(model, WARM)
    expected = [sampler.draw(*given, None) for given in inputs]
    torch._dynamo.reset()
    counter = CompileCounter()
    with torch.no_grad():
        compiled = torch.compile(sampler.draw, fullgraph=True, dynamic=False, backend=counter)
        found = [compiled(*given, None) for given in inputs]
    assert counter.frame_count == 1
    assert all(map(torch.equal, found, expected))


def test_groups_of_streams_are_drawn_their_own_way(model: UniAudioLM, prompt: SimpleNamespace) -> None:
    def first_frame(seed: int, **groups: Draw) -> np.ndarray:
        sampling = Sampling(seed=seed, groups=groups)
        [answer] = generate(
            model, [prompt], vocabulary=VOCABULARY, mode="reconstruction", max_frames=1, sampling=sampling
        )
        return answer.reconstruction_codes[0]

    greedy, hot = first_frame(0), Draw(temperature=5.0)
    for seed in (1, 2, 3):
        acoustic = first_frame(seed, acoustic=hot)
        assert np.array_equal(acoustic[:2], greedy[:2])
        assert not np.array_equal(acoustic[2:], greedy[2:])
        assert not np.array_equal(first_frame(seed, semantic=hot)[:2], greedy[:2])
        assert np.array_equal(first_frame(seed, text=hot, reasoning=hot), greedy)


def test_recent_ids_are_weakened_and_others_left_alone() -> None:
    recent = recent_ids([[(1, 2), (1, 0)], []], 2, 3, torch.device("cpu"))
    assert recent.int().tolist() == [[[0, 1, 0], [1, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    logits = torch.tensor([[2.0, 2.0, -1.0], [2.0, 2.0, -1.0]])
    assert penalize(logits, recent[:, 1], 2.0).tolist() == [[1.0, 2.0, -2.0], [2.0, 2.0, -1.0]]


def test_a_run_of_ids_is_completed_once() -> None:
    assert repeating_ids([5, 6, 7, 5, 6], 3) == {7}
    assert repeating_ids([5, 6, 7, 5, 6], 2) == {7}
    assert repeating_ids([5, 6, 7, 5, 6], 1) == {5, 6, 7}
    assert repeating_ids([5, 6], 3) == set()
    assert repeating_ids([5, 6, 5, 6], 0) == set()


@pytest.mark.parametrize("sampling", [Sampling(no_repeat_ngram=1), Sampling(repetition_penalty=1e6)])
def test_repetition_control_breaks_a_loop_of_text(
    model: UniAudioLM, prompt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    def text_logits(_model: UniAudioLM, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.full((*hidden.shape[:-1], VOCABULARY.text_size), -9.0)
        logits[..., 65], logits[..., 66], logits[..., EOS] = 9.0, 8.0, 7.0
        return logits

    monkeypatch.setattr(UniAudioLM, "text_logits", text_logits)
    options = {"vocabulary": VOCABULARY, "mode": "text", "max_text": 6}
    assert generate(model, [prompt], **options)[0].text_ids == [65] * 6
    assert generate(model, [prompt], sampling=sampling, **options)[0].text_ids == [65, 66]


def test_repetition_control_breaks_a_loop_of_frames(
    model: UniAudioLM, prompt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logits(_sampler: FrameSampler, hidden_ND: torch.Tensor, _codebook: int, _cache: object) -> torch.Tensor:
        return torch.arange(VOCABULARY.audio_size, 0, -1.0).expand(len(hidden_ND), -1)

    monkeypatch.setattr(FrameSampler, "_logits", logits)
    sampling = Sampling(repetition_penalty=1e6, repetition_window=2)
    options = {"vocabulary": VOCABULARY, "mode": "reconstruction", "max_frames": 4}
    assert (generate(model, [prompt], **options)[0].reconstruction_codes == 0).all()
    codes = generate(model, [prompt], sampling=sampling, **options)[0].reconstruction_codes
    # Two frames back is forgotten, so the likeliest code comes again with the fourth.
    assert codes[:, 0].tolist() == codes[:, 7].tolist() == [0, 1, 2, 0]


def test_guidance_blanks_a_prompt_as_training_drops_conditions(prompt: SimpleNamespace) -> None:
    ids, is_audio = prompt.ids.clone(), prompt.is_audio
    ids[is_audio, :8] = torch.tensor([VOCABULARY.reconstruction_offset])
    ids[3:6, :8] = 5
    ids[is_audio, 8], ids[~is_audio, :8] = 0, 0
    grid = Grid(ids=ids.numpy(), is_audio=is_audio.numpy(), loss=np.zeros(len(ids), bool))
    blanked = blank(read_prompt(grid, LMConfig.preset("debug", VOCABULARY)), grammar_of(VOCABULARY))
    assert np.array_equal(blanked.ids_S9.numpy(), without_condition(grid, VOCABULARY).ids)


def test_an_empty_prompt_is_enough_for_audio_and_refused_for_text(model: UniAudioLM, make_row: MakeRow) -> None:
    nothing = make_row("", 1)
    [answer] = generate(model, [nothing], vocabulary=VOCABULARY, mode="reasoning", max_frames=3)
    assert len(answer.reasoning_codes) >= 1
    with pytest.raises(UsageError, match="must hold one position or more, but is empty"):
        generate(model, [nothing], vocabulary=VOCABULARY, mode="text")


def test_wrong_sampling_is_named() -> None:
    with pytest.raises(UsageError, match="but hold sematic"):
        Sampling(groups={"sematic": Draw()})
    with pytest.raises(UsageError, match=r"`repetition_penalty` must lie in .* but is 0\.5"):
        Sampling(repetition_penalty=0.5)
    with pytest.raises(UsageError, match="`top_k` must be 0 or more, but is -1"):
        Sampling(top_k=-1)
