"""Decoding: the same answer alone and batched, no illegal frame, defined ends."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError

from uniaudio.lm import matrices
from uniaudio.lm.answer import Generated
from uniaudio.lm.config import LMConfig
from uniaudio.lm.frame_sampler import FrameSampler
from uniaudio.lm.generate import generate, stream
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.sampling import Sampling
from uniaudio.lm.score import Score, score
from uniaudio.sequence.vocabulary import Vocabulary

VOCABULARY = Vocabulary()
EOS = VOCABULARY.text_specials["eos"]
PATTERNS = ("ttttt", "tttaaaaaaaaa", "t", "ttttttttttttttttaat")
MakeRow = Callable[..., SimpleNamespace]
GREEDY = Sampling()
WARM = Sampling(temperature=1.0, top_k=40, top_p=0.95, seed=11)
GUIDED = Sampling(temperature=0.8, cfg_scale=2.0, seed=5)


@pytest.fixture(scope="module", params=[False, True], ids=["", "compiled"])
def model(request: pytest.FixtureRequest) -> UniAudioLM:
    """Peaked random predictions, so that greedy answers differ from prompt to prompt."""
    model = UniAudioLM(LMConfig.preset("debug", VOCABULARY), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    model.compile_decoding(request.param)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def prompts(make_row: MakeRow) -> list[SimpleNamespace]:
    return [make_row(pattern, seed) for seed, pattern in enumerate(PATTERNS)]


def same(first: Generated, second: Generated) -> bool:
    return len(first.segments) == len(second.segments) and all(
        np.array_equal(a.ids, b.ids) and (a.kind, a.finished) == (b.kind, b.finished)
        for a, b in zip(first.segments, second.segments, strict=True)
    )


@pytest.mark.parametrize("sampling", [GREEDY, WARM, GUIDED], ids=["greedy", "warm", "guided"])
@pytest.mark.parametrize("mode", ["text", "audio", ("text", "reconstruction")])
def test_a_batch_gives_the_answers_of_single_prompts(
    model: UniAudioLM, prompts: list[SimpleNamespace], mode: str | tuple[str, ...], sampling: Sampling
) -> None:
    caps = {"vocabulary": VOCABULARY, "mode": mode, "max_frames": 10, "max_text": 12, "sampling": sampling}
    batched = generate(model, prompts, **caps)
    for row, prompt in enumerate(prompts):
        [alone] = generate(model, [prompt], seeds=[sampling.seed + row], **caps)
        assert same(batched[row], alone), row
    assert not all(same(batched[0], other) for other in batched[1:])


def test_cached_decoding_equals_reading_everything_again(model: UniAudioLM, prompts: list[SimpleNamespace]) -> None:
    prompt = prompts[1]
    [answer] = generate(model, [prompt], vocabulary=VOCABULARY, mode="text", max_text=8)
    ids, is_audio = prompt.ids, prompt.is_audio
    for text_id in answer.segments[0].ids.tolist():
        hidden = model(ids[None], is_audio[None], ~is_audio[None])[0, -1]
        logits = model.text_logits(hidden)
        logits[VOCABULARY.text_pad] = -torch.inf
        assert int(logits.argmax()) == text_id
        following = torch.zeros(1, 9, dtype=torch.int64)
        following[0, 8] = text_id
        ids, is_audio = torch.cat([ids, following]), torch.cat([is_audio, torch.tensor([False])])


def test_frames_decoded_with_a_cache_are_the_most_likely_legal_ones(
    model: UniAudioLM, prompts: list[SimpleNamespace]
) -> None:
    """Teacher-forced audio logits over the whole answer have each greedy code as their legal maximum."""
    prompt = prompts[1]
    [answer] = generate(model, [prompt], vocabulary=VOCABULARY, mode="reasoning", max_frames=10)
    codes = torch.from_numpy(answer.reasoning_codes).long()
    begin = torch.full((1, 8), VOCABULARY.reasoning_bos)
    frames = torch.zeros(len(codes) + 1, 9, dtype=torch.int64)
    frames[:, :8] = torch.cat([begin, codes])
    ids, is_audio = (
        torch.cat([prompt.ids, frames]),
        torch.cat([prompt.is_audio, torch.ones(len(frames), dtype=torch.bool)]),
    )
    hidden = model(ids[None], is_audio[None], ~is_audio[None])[0, len(prompt.ids) : -1]
    logits = model.audio_logits(hidden, codes)
    assert torch.equal(logits[..., : VOCABULARY.reasoning_codes].argmax(-1)[:, 1:], codes[:, 1:])


def test_no_weights_make_an_illegal_frame(model: UniAudioLM, prompts: list[SimpleNamespace]) -> None:
    hot = Sampling(temperature=50.0, seed=1)
    for answer in generate(model, prompts * 3, vocabulary=VOCABULARY, mode="audio", max_frames=20, sampling=hot):
        assert [segment.kind for segment in answer.segments] == ["reasoning", "reconstruction"]
        assert 1 <= len(answer.reasoning_codes) <= 8
        assert 1 <= len(answer.reconstruction_codes) <= 20
        assert 0 <= answer.reasoning_codes.min() <= answer.reasoning_codes.max() < VOCABULARY.reasoning_codes
        assert (
            0
            <= answer.reconstruction_codes.min()
            <= answer.reconstruction_codes.max()
            < VOCABULARY.reconstruction_codes
        )


def test_text_never_holds_padding(model: UniAudioLM, prompts: list[SimpleNamespace]) -> None:
    hot = Sampling(temperature=50.0)
    for answer in generate(model, prompts * 4, vocabulary=VOCABULARY, mode="text", max_text=60, sampling=hot):
        assert not {VOCABULARY.text_pad, EOS} & set(answer.segments[0].ids.tolist())
        assert not set(answer.text_ids) & set(VOCABULARY.text_specials.values())


def rig_text(monkeypatch: pytest.MonkeyPatch, wanted: Sequence[int]) -> None:
    """Text logits that want these ids in turn."""
    turn = iter(wanted)

    def text_logits(_model: UniAudioLM, hidden: Tensor) -> Tensor:
        logits = torch.zeros(*hidden.shape[:-1], VOCABULARY.text_size)
        logits[..., next(turn)] = 9.0
        return logits

    monkeypatch.setattr(UniAudioLM, "text_logits", text_logits)


def rig_frames(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    """Audio logits that want the id `wanted` in every stream of every frame."""

    def logits(_sampler: FrameSampler, hidden_ND: Tensor, _codebook: int, _cache: object) -> Tensor:
        row = torch.zeros(len(hidden_ND), VOCABULARY.audio_size)
        row[:, wanted] = 9.0
        return row

    monkeypatch.setattr(FrameSampler, "_logits", logits)


def test_an_immediate_text_end_is_an_empty_answer(
    model: UniAudioLM, prompts: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig_text(monkeypatch, [EOS])
    [answer] = generate(model, prompts[:1], vocabulary=VOCABULARY, mode="text")
    assert (answer.text_ids, answer.finished) == ([], "stop")


def test_a_text_between_segments_is_closed_with_its_wrapper(
    model: UniAudioLM, prompts: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    specials = VOCABULARY.text_specials
    rig_text(monkeypatch, [specials["caption_start"], specials["bos"], 65, 66, EOS])
    fed = []
    forward = UniAudioLM.forward

    def watched(self: UniAudioLM, ids: Tensor, is_audio: Tensor, *rest: Tensor, **options: object) -> Tensor:
        fed.append((ids[0, -1].tolist(), bool(is_audio[0, -1])))
        return forward(self, ids, is_audio, *rest, **options)

    monkeypatch.setattr(UniAudioLM, "forward", watched)
    [answer] = generate(model, prompts[:1], vocabulary=VOCABULARY, mode=("text", "reasoning"), max_frames=1)
    assert answer.text_ids == [65, 66]
    text_fed = [ids[8] for ids, is_audio in fed[1:] if not is_audio]
    assert text_fed == [specials["caption_start"], specials["bos"], 65, 66, EOS, specials["caption_end"]]
    assert fed[-1] == ([VOCABULARY.reasoning_bos] * 8 + [0], True)


def test_an_audio_segment_ends_after_its_first_frame_at_the_earliest(
    model: UniAudioLM, prompts: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig_frames(monkeypatch, VOCABULARY.reasoning_eos)
    [answer] = generate(model, prompts[:1], vocabulary=VOCABULARY, mode="reasoning")
    assert (answer.reasoning_codes.shape, answer.finished) == ((1, 8), "stop")


def test_a_missing_end_is_put_at_the_cap_of_both_kinds(
    model: UniAudioLM, prompts: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig_frames(monkeypatch, 0)
    [answer] = generate(model, prompts[:1], vocabulary=VOCABULARY, mode="audio", max_frames=6)
    # 6 frames of 1,920 samples are 2.4 frames of 4,800.
    assert (len(answer.reasoning_codes), len(answer.reconstruction_codes), answer.finished) == (3, 6, "length")


def test_streaming_yields_what_generating_collects(model: UniAudioLM, prompts: list[SimpleNamespace]) -> None:
    caps = {"vocabulary": VOCABULARY, "mode": "audio", "max_frames": 5, "sampling": WARM}
    [answer] = generate(model, prompts[:1], **caps)
    pieces = list(stream(model, prompts[0], **caps))
    for segment in answer.segments:
        streamed = [piece.ids for piece in pieces if piece.kind == segment.kind and piece.ids]
        assert np.array_equal(np.array(streamed), segment.ids)
    assert [piece.finished for piece in pieces if not piece.ids] == [segment.finished for segment in answer.segments]


def test_guidance_of_scale_one_changes_nothing_and_of_scale_three_does(
    model: UniAudioLM, prompts: list[SimpleNamespace]
) -> None:
    def answer(scale: float) -> Generated:
        sampling = Sampling(cfg_scale=scale)
        return generate(model, prompts[:1], vocabulary=VOCABULARY, mode="audio", max_frames=5, sampling=sampling)[0]

    plain = generate(model, prompts[:1], vocabulary=VOCABULARY, mode="audio", max_frames=5)[0]
    assert same(plain, answer(1.0))
    assert not same(plain, answer(3.0))


def test_a_text_answer_runs_no_audio_part_after_the_prompt(
    model: UniAudioLM, prompts: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    hooks = [
        getattr(model, name).register_forward_hook(lambda *_, name=name: calls.append(name))
        for name in ("understanding_expert", "generation_expert", "projection", "text_head")
    ]
    generate(model, prompts[1:2], vocabulary=VOCABULARY, mode="text", max_text=3, sampling=Sampling())
    for hook in hooks:
        hook.remove()
    assert calls == ["understanding_expert", "generation_expert", "text_head", "text_head", "text_head"]


def test_scores_are_the_log_likelihoods_of_a_plain_forward(model: UniAudioLM, make_row: MakeRow) -> None:
    prompt, continuations = make_row("ttaat", 1), [make_row("tttaat", 2), make_row("t", 3), make_row("aa", 4)]
    for continuation, rated in zip(continuations, score(model, prompt, continuations), strict=True):
        ids, is_audio = torch.cat([prompt.ids, continuation.ids]), torch.cat([prompt.is_audio, continuation.is_audio])
        before = model(ids[None], is_audio[None], ~is_audio[None])[0, len(prompt.ids) - 1 : -1]
        text, audio = ~continuation.is_audio, continuation.is_audio
        text_ids, codes = continuation.ids[text][:, 8:], continuation.ids[audio][:, :8, None]
        expected = model.text_logits(before[text]).log_softmax(-1).gather(-1, text_ids).sum()
        expected += model.audio_logits(before[audio], codes[..., 0]).log_softmax(-1).gather(-1, codes).sum()
        assert rated.log_likelihood == pytest.approx(float(expected), abs=1e-3)
        assert (rated.num_text, rated.num_frames) == (int(text.sum()), int(audio.sum()))


def test_a_text_answer_lays_out_no_weights_of_audio(model: UniAudioLM, prompts: list[SimpleNamespace]) -> None:
    fresh = deepcopy(model)
    generate(fresh, prompts, vocabulary=VOCABULARY, mode="text", max_text=3)
    laid_out = {name for name, module in fresh.named_modules() if module in matrices._copies}
    assert laid_out and all(name.startswith("backbone.") for name in laid_out)
    generate(fresh, prompts, vocabulary=VOCABULARY, mode="audio", max_frames=1)
    assert fresh.projection in matrices._copies and fresh.audio_head in matrices._copies


def test_an_answer_of_nothing_is_certain_and_a_prompt_of_nothing_refused(model: UniAudioLM, make_row: MakeRow) -> None:
    nothing = Score(0.0, 0, 0.0, 0)
    assert score(model, make_row("tt", 1), [make_row("", 2)] * 2) == [nothing] * 2
    assert score(model, make_row("tt", 1), [make_row("", 2), make_row("ta", 3)])[0] == nothing
    with pytest.raises(UsageError, match="`prompt` must hold one position or more"):
        score(model, make_row("", 1), [make_row("t", 2)])


def test_a_model_that_overflows_says_so(model: UniAudioLM, prompts: list[SimpleNamespace]) -> None:
    half = UniAudioLM(model.config).half()
    with torch.no_grad():
        half.backbone.norm.weight.fill_(6e4)
        half.generation_expert.stack.norm.weight.fill_(6e4)
    for mode in ("text", "audio"):
        with pytest.raises(DataError, match=r"overflows in torch\.float16"):
            generate(half, prompts, vocabulary=VOCABULARY, mode=mode)


def test_logits_that_are_no_numbers_never_become_a_frame(
    model: UniAudioLM, prompts: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    def logits(_sampler: FrameSampler, hidden_ND: Tensor, _codebook: int, _cache: object) -> Tensor:
        return torch.full((len(hidden_ND), VOCABULARY.audio_size), torch.nan)

    monkeypatch.setattr(FrameSampler, "_logits", logits)
    hot = Sampling(temperature=1.0)
    with pytest.raises(DataError, match="but overflows"):
        generate(model, prompts, vocabulary=VOCABULARY, mode="reconstruction", sampling=hot)


def test_wrong_requests_are_named(model: UniAudioLM, prompts: list[SimpleNamespace], make_row: MakeRow) -> None:
    with pytest.raises(UsageError, match="but is 'speech'"):
        generate(model, prompts, vocabulary=VOCABULARY, mode="speech")
    with pytest.raises(UsageError, match="but is empty"):
        generate(model, [make_row("", 1)], vocabulary=VOCABULARY, mode="text")
    with pytest.raises(UsageError, match=r"audio ids of a prompt must lie in 0\.\.203"):
        generate(model, [make_row("aaaa", 1, audio_size=10**6)], vocabulary=VOCABULARY, mode="text")
    with pytest.raises(FingerprintError, match="model's vocabulary"):
        generate(model, prompts, vocabulary=Vocabulary(reasoning_codes=63), mode="text")
    assert generate(model, [], vocabulary=VOCABULARY, mode="text") == []
