"""Machine code for single positions is the same function as the stack itself, and gives a row the same bits in any batch."""

import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.lm import compiled
from uniaudio.lm.blocks import Attend, Stack
from uniaudio.lm.cache import KVCache
from uniaudio.lm.compiled import CompiledMatrix, CompiledSteps
from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.generate import generate
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.rope import rotation
from uniaudio.lm.sampling import Sampling
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.training.lm.doubles import tiny_lm

CONFIG = StackConfig(num_layers=2, width=40, num_heads=6, num_kv_heads=2, head_size=12, mlp_width=50)
"""No size is a multiple of a vector or a tile."""
VOCABULARY = Vocabulary()
SLOTS = [5, 3, 4, 5, 1, 0, 2, 5, 4, 3, 5]
pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")


@pytest.fixture
def stack() -> Stack:
    torch.manual_seed(0)
    made = Stack(CONFIG, 1e-5).requires_grad_(False)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    return made


def last_of_six(stack: Stack, x_B6D: torch.Tensor, slots: list[int], *, compiles: bool) -> torch.Tensor:
    """Five positions at once, then the sixth, which every row puts into a slot of its own."""
    cache, steps = KVCache(CONFIG, len(x_B6D), 8, x_B6D), CompiledSteps(stack) if compiles else None
    stack(x_B6D[:, :5], Attend(rotation(RopeConfig(), torch.arange(5)[None], 12)), cache)
    at_B1 = torch.tensor(slots)[:, None]
    attend = Attend(rotation(RopeConfig(), at_B1, 12), torch.arange(6) <= at_B1[..., None], at_B1, 6)
    if len(set(slots)) == 1:
        attend = Attend(rotation(RopeConfig(), at_B1[:1], 12), slots=slots[0], num_keys=slots[0] + 1)
    return stack(x_B6D[:, 5:], attend, cache, steps)


def first_position(steps: CompiledSteps, x_BD: torch.Tensor) -> torch.Tensor:
    place = steps.prepare(Attend(rotation(RopeConfig(), torch.tensor([[0]]), 12), slots=0, num_keys=1))
    return steps.step(x_BD, place, KVCache(CONFIG, len(x_BD), 1, x_BD))


@pytest.mark.parametrize("slots", [[5], [5] * 3, SLOTS[:2], SLOTS], ids=["one row", "even", "two", "eleven"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_step_equals_the_stack(stack: Stack, slots: list[int], dtype: torch.dtype) -> None:
    stack.to(dtype)
    x_B6D = torch.randn(len(slots), 6, CONFIG.width, dtype=dtype)
    expected, found = (last_of_six(stack, x_B6D, slots, compiles=compiles) for compiles in (False, True))
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture(params=["-mno-avx512f", "-mno-avx"])
def _older_processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code for registers of at most eight and of four numbers."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("other processors have one size of register")
    monkeypatch.setattr(compiled, "FLAGS", (*compiled.FLAGS, request.param))
    compiled._build.cache_clear()
    yield
    compiled._build.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.usefixtures("_older_processor")
def test_code_for_older_processors_computes_the_same(stack: Stack, dtype: torch.dtype) -> None:
    stack.to(dtype)
    x_B6D = torch.randn(len(SLOTS), 6, CONFIG.width, dtype=dtype)
    expected, found = (last_of_six(stack, x_B6D, SLOTS, compiles=compiles) for compiles in (False, True))
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    x_BD, steps = x_B6D[:, 5], CompiledSteps(stack)
    batched = first_position(steps, x_BD)
    for rows in (slice(0, 1), slice(1, 3), slice(3, 7), slice(7, 11)):
        assert torch.equal(batched[rows], first_position(steps, x_BD[rows])), "a row gets the same bits in any batch"


@pytest.mark.usefixtures("_older_processor")
def test_no_vector_is_longer_than_a_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler builds such vectors from memory, many times as slow, and says so with -Wvector-operation-performance."""
    monkeypatch.setattr(compiled, "FLAGS", (*compiled.FLAGS, "-Werror=vector-operation-performance", "-Werror=psabi"))
    for number in (torch.float32, torch.bfloat16):
        compiled.library_for(torch.zeros(1, dtype=number))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_row_gets_the_same_bits_alone_and_in_a_batch(stack: Stack, num_threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    x_BD, steps = torch.randn(len(SLOTS), CONFIG.width), CompiledSteps(stack)
    batched = first_position(steps, x_BD)
    torch.set_num_threads(before)
    rows = [slice(row, row + 1) for row in range(len(x_BD))]
    assert all(torch.equal(batched[row], first_position(steps, x_BD[row])) for row in rows)


def test_a_position_outside_of_the_cache_is_refused(stack: Stack) -> None:
    x_BD, steps = torch.randn(2, CONFIG.width), CompiledSteps(stack)
    cache = KVCache(CONFIG, 2, 4, x_BD)
    for slots, num_rows in ((4, 2), (-1, 2), (torch.tensor([[0], [4]]), 2), (torch.tensor([[0], [1]]), 1), (0, 3)):
        turn = rotation(RopeConfig(), torch.as_tensor(slots).reshape(-1, 1), 12)
        with pytest.raises(IndexError, match="a cache"):
            steps.step(x_BD[:1].expand(num_rows, -1), steps.prepare(Attend(turn, slots=slots, num_keys=4)), cache)
    assert not cache.both.any()


def test_the_number_type_that_new_tensors_have_is_of_no_consequence(stack: Stack) -> None:
    x_B6D = torch.randn(3, 6, CONFIG.width)
    expected = last_of_six(stack, x_B6D, [5, 5, 4], compiles=True)
    torch.set_default_dtype(torch.float16)
    steps = CompiledSteps(stack)
    try:
        place = steps.prepare(Attend(rotation(RopeConfig(), torch.tensor([[0]]), 12), slots=0, num_keys=1))
        steps.step(x_B6D[:, 0], place, KVCache(CONFIG, 3, 1, x_B6D))
        found = last_of_six(stack, x_B6D, [5, 5, 4], compiles=True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert steps._scratch.dtype == torch.float32, "C writes float32 into it"
    assert torch.equal(found, expected)


def test_the_cache_of_a_bfloat16_model_holds_the_nearest_numbers(stack: Stack) -> None:
    stack.to(torch.bfloat16)
    x_BD = torch.randn(8, CONFIG.width, dtype=torch.bfloat16)
    cache, steps = KVCache(CONFIG, len(x_BD), 1, x_BD), CompiledSteps(stack)
    place = steps.prepare(Attend(rotation(RopeConfig(), torch.tensor([[0]]), 12), slots=0, num_keys=1))
    steps.step(x_BD, place, cache)
    attention, norm = next(stack.float().blocks()).attention, next(stack.blocks()).attention_norm
    values = attention.qkv(norm(x_BD.float())).unflatten(-1, (-1, 12))[:, -2:].to(torch.bfloat16)
    assert (cache.both[0, 1, :, :, 0] == values).float().mean() > 0.95


def test_large_scores_and_gates_neither_overflow_nor_vanish(stack: Stack) -> None:
    for block in stack.blocks():
        block.attention.qkv.weight.mul_(30)
        block.mlp.gate.weight.mul_(100)
    x_B6D = torch.randn(3, 6, CONFIG.width)
    expected, found = (last_of_six(stack, x_B6D, [5, 5, 4], compiles=compiles) for compiles in (False, True))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_rows", [0, 1, 7, 17])
def test_a_matrix_multiplies_any_number_of_rows_and_follows_its_weights(num_rows: int) -> None:
    linear = torch.nn.Linear(21, 45, bias=False).requires_grad_(False)
    # Rows that do not lie one behind the other.
    x = torch.randn(21, num_rows).t()
    torch.testing.assert_close(CompiledMatrix(linear, linear.weight)(x), linear(x))
    linear.weight.mul_(2)
    torch.testing.assert_close(CompiledMatrix(linear, linear.weight)(x), linear(x))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(cfg_scale=2.0)], ids=["greedy", "guided"])
@pytest.mark.parametrize("mode", ["text", "audio"])
def test_greedy_answers_are_those_of_decoding_that_is_not_compiled(
    mode: str, sampling: Sampling, make_row: Callable[..., SimpleNamespace]
) -> None:
    model = UniAudioLM(LMConfig.preset("debug", VOCABULARY), seed=3).requires_grad_(False)
    prompts = [make_row(pattern, seed) for seed, pattern in enumerate(("ttttt", "tttaaaa", "t"))]
    answers = []
    for compiles in (False, True):
        model.compile_decoding(compiles)
        made = generate(model, prompts, vocabulary=VOCABULARY, mode=mode, max_frames=12, max_text=12, sampling=sampling)
        answers.append([[segment.ids.tolist() for segment in answer.segments] for answer in made])
    assert answers[0] == answers[1]
    assert answers[0][0] != answers[0][1], "answers must depend on their prompts"


def test_another_type_a_missing_compiler_and_one_that_fails_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"`compile` must be of a model in float32 or bfloat16 on a CPU.*float64 on cpu"
    ):
        tiny_lm().double().compile_decoding()
    compiled._build.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="but neither `cc` nor `gcc` is installed"):
        tiny_lm().compile_decoding()
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'unknown processor\n  stood here' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(broken))
    with pytest.raises(UsageError, match=r"cc says: unknown processor$"):
        tiny_lm().compile_decoding()
