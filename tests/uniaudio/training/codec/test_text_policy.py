"""Text decoders read reasoning frames: cached sampling is the full computation, and only what should learn does."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.text_decoder import END, TextDecoder
from uniaudio.codec.text_policy import TextPolicy, draw_tokens

DIM = 12
QUESTIONS = ["What?", "", "Is this speech, sound or music?"]


def decoder() -> TextDecoder:
    torch.manual_seed(0)
    return TextDecoder(DIM, num_layers=2, max_bytes=48, max_frames=7).eval()


def frames() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 7, DIM, generator=generator), torch.arange(7) < torch.tensor([[7], [3], [5]])


def greedy_by_full_passes(policy: TextPolicy, questions: list[str], num_tokens: int, num_ids: int) -> list[list[int]]:
    """The likeliest token again and again, each time from the whole text: no cache."""
    reasoning, valid = frames()
    answers = []
    for row, question in enumerate(questions):
        answer: list[int] = []
        for _ in range(num_tokens):
            tried = [[*answer, token] for token in range(num_ids)]
            count = len(tried)
            scores = policy.likelihood(
                reasoning[row : row + 1].expand(count, -1, -1),
                valid[row : row + 1].expand(count, -1),
                [question] * count,
                tried,
            )
            answer.append(int(scores.log_probability[:, -1].argmax()))
        answers.append(answer)
    return answers


def test_sampling_with_the_cache_takes_the_tokens_that_full_passes_find_likeliest() -> None:
    policy = decoder()
    reasoning, valid = frames()
    with torch.no_grad():
        # At a temperature near 0 every draw is the likeliest token.
        sampled = policy.sample(reasoning, valid, QUESTIONS, torch.full((3, 4), 0.5), temperature=1e-4)
        assert sampled == greedy_by_full_passes(policy, QUESTIONS, 4, 259)


def test_an_answer_does_not_depend_on_its_neighbors() -> None:
    policy, (reasoning, valid) = decoder(), frames()
    uniforms = torch.rand(3, 20, generator=torch.Generator().manual_seed(2))
    together = policy.sample(reasoning, valid, QUESTIONS, uniforms)
    alone = [
        policy.sample(reasoning[row : row + 1], valid[row : row + 1], [QUESTIONS[row]], uniforms[row : row + 1])[0]
        for row in range(3)
    ]
    assert together == alone


def test_an_answer_ends_at_the_end_and_reads_back() -> None:
    policy = decoder()
    assert policy.text(policy.token_ids("wörd")) == "wörd"
    assert policy.token_ids("x" * 99) == [ord("x")] * 48 + [END]


def test_the_likelihood_of_a_text_is_its_cross_entropy() -> None:
    policy, (reasoning, valid) = decoder(), frames()
    texts = ["a", "let's go", "wörd"]
    with torch.no_grad():
        likelihood = policy.likelihood(reasoning, valid, QUESTIONS, [policy.token_ids(text) for text in texts])
        mean = -likelihood.log_probability.sum() / likelihood.real.sum()
        assert torch.allclose(policy(reasoning, valid, texts, QUESTIONS), mean, atol=1e-5)
    assert likelihood.real.sum(dim=1).tolist() == [2, 9, 6]


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.0, 0.6, 0.3]])).expand(1000, -1)
    drawn = draw_tokens(logits, (torch.arange(1000) + 0.5) / 1000, 1.0)
    assert torch.bincount(drawn, minlength=4).tolist() == [100, 0, 600, 300]


@pytest.fixture(scope="module")
def llm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LLaMA with a tokenizer of bytes."""
    pytest.importorskip("tokenizers")
    from uniaudio.codec.encoders.frozen import import_transformers

    transformers = import_transformers()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*alphabet, "<s>", "</s>"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("llm")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=258,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def language_model(folder: Path) -> TextPolicy:
    from uniaudio.training.codec.text_llm import TextLLM, load_model

    torch.manual_seed(0)
    policy = TextLLM(DIM, load_model(folder, torch.device("cpu")), rank=4, dropout=0.1).eval()
    for adapter in policy.adapters:
        torch.nn.init.normal_(adapter.up.weight, std=0.5)
    return policy


def test_a_language_model_samples_with_the_cache_what_full_passes_find_likeliest(llm_folder: Path) -> None:
    policy, (reasoning, valid) = language_model(llm_folder), frames()
    with torch.no_grad():
        sampled = policy.sample(reasoning, valid, QUESTIONS, torch.full((3, 3), 0.5), temperature=1e-4)
        assert sampled == greedy_by_full_passes(policy, QUESTIONS, 3, 258)


def test_of_a_language_model_the_projection_and_the_adapters_alone_learn(llm_folder: Path) -> None:
    policy, (reasoning, valid) = language_model(llm_folder), frames()
    model = policy._model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert {name.split(".")[0] for name in policy.state_dict()} == {"project", "adapters"}
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = policy(reasoning, valid, ["one", "two", "three"], QUESTIONS)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(adapter.down.weight.grad is not None for adapter in policy.adapters)


def test_the_reference_of_a_language_model_needs_its_adapters_alone(llm_folder: Path) -> None:
    from uniaudio.training.codec.grpo import GrpoTeacher

    policy, (reasoning, valid) = language_model(llm_folder), frames()
    teacher = GrpoTeacher(policy, torch.nn.Linear(2, 2))
    arguments = (reasoning, valid, QUESTIONS, [[5, 6], [7], [8, 9, 10]])
    with torch.no_grad():
        before = policy.likelihood(*arguments).log_probability
        for parameter in policy.parameters():
            parameter.mul_(0.5)
        assert not torch.allclose(policy.likelihood(*arguments).log_probability, before, atol=1e-3)
        assert torch.allclose(teacher.reference_likelihood(*arguments).log_probability, before, atol=1e-6)
    assert not any("embed" in name or "layers" in name for name in teacher.state_dict())


def test_the_adapters_change_nothing_at_first(llm_folder: Path) -> None:
    from uniaudio.training.codec.text_llm import TextLLM, load_model

    loaded = load_model(llm_folder, torch.device("cpu"))
    ids = torch.arange(5)[None]
    with torch.no_grad():
        plain = loaded.model(ids).logits
        TextLLM(DIM, loaded, rank=4, dropout=0.1)
        assert torch.equal(loaded.model(ids).logits, plain)


def test_a_chat_model_of_transformers_judges_and_its_reply_alone_is_read(
    llm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instruction holds an example of a verdict, which is none."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    from uniaudio.training.codec.examples import ClipFacts
    from uniaudio.training.codec.judge import INSTRUCTION, build_judge

    folder = tmp_path / "chat"
    shutil.copytree(llm_folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    tokenizer.save_pretrained(folder)
    asked: list[str] = []

    def reply(_: object, input_ids: torch.Tensor, *, do_sample: bool, **__: object) -> torch.Tensor:
        assert not do_sample
        asked.append(tokenizer.decode(input_ids[0]))
        verdict = tokenizer('{"scores": [10, 0], "unsupported": 0} x', return_tensors="pt")["input_ids"]
        return torch.cat([input_ids, verdict], dim=1)

    monkeypatch.setattr(LlamaForCausalLM, "generate", reply)
    judge = build_judge(str(folder), "", torch.device("cpu"))
    facts = ClipFacts(domain="speech", caption="a man speaks")
    assert judge.scores(["Audio: speech"], [facts]) == [0.5]
    assert INSTRUCTION in asked[0] and "Meaning: a man speaks" in asked[0] and asked[0].endswith("<assistant>")


def test_a_model_whose_reply_is_noise_gives_nothing_and_one_without_a_chat_template_is_no_judge(
    llm_folder: Path, tmp_path: Path
) -> None:
    from uniaudio.training.codec.examples import ClipFacts
    from uniaudio.training.codec.judge import build_judge

    with pytest.raises(UsageError, match="has no chat template"):
        build_judge(str(llm_folder), "", torch.device("cpu"))
    folder = tmp_path / "chat"
    shutil.copytree(llm_folder, folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(UsageError, match=r"`judge` must take a system and a user message, but .* no system role\."):
        build_judge(str(folder), "", torch.device("cpu")).scores(["Audio: speech"], [ClipFacts(domain="speech")])
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    judge = build_judge(str(folder), "", torch.device("cpu"))
    assert judge.scores(["Audio: speech"], [ClipFacts(domain="speech")]) == [0.0], "noise is no verdict"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    from uniaudio.training.codec.text_llm import load_model

    with pytest.raises(UsageError, match="must be a local folder"):
        load_model(tmp_path / "nothing", torch.device("cpu"))
    with pytest.raises(DataError, match="not a causal language model"):
        load_model(tmp_path, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_grpo_raises_the_reward_of_a_real_language_model_on_real_audio(
    new_codec, short, train_clips, held_out_clips
) -> None:
    """SFT, then GRPO with the rule judge and no supervised loss, on four clips; the adapters and the projection alone."""
    from dataclasses import replace

    from uniaudio.stages.codec_phases import codec_phases
    from uniaudio.training.codec.train import train_codec

    folder = os.environ.get("UNIAUDIO_TEXT_MODEL", "")
    if not folder:
        pytest.skip("no language model: set UNIAUDIO_TEXT_MODEL to the folder of one, such as SmolLM2-135M")
    shared = {"text_model": folder, "tasks": ("analysis",), "crop_samples": 192_000, "num_clips": 4, "num_held_out": 2}
    reasoning, grpo = codec_phases(("reasoning", "grpo"))
    settings = {"num_rollouts": 6, "max_answer_tokens": 32, "num_frozen_steps": 24, "num_inner_steps": 2}
    phases = [
        replace(short(reasoning, 32, **shared), num_unquantized_steps=8, learning_rate=1e-3),
        replace(
            short(grpo, 24, **shared, log_every=2, grpo=replace(grpo.grpo, **settings, sft_weight=0.0)),
            learning_rate=3e-4,
        ),
    ]
    metrics = train_codec(new_codec(), phases, train_clips[:4], held_out_clips)
    rewards = [metric.value for metric in metrics if metric.name == "reward"]
    distances = [metric.value for metric in metrics if metric.name == "kl"]
    held_out = [1 - one.value for one in metrics if (one.phase, one.name) == ("grpo", "held_out_loss")]
    print(f"rewards {', '.join(f'{value:.3f}' for value in rewards)}; distance {distances[-1]:.4f} nats a token")
    print(f"held out {held_out[0]:.3f} -> {held_out[-1]:.3f}")
    before, after = sum(rewards[:4]) / 4, sum(rewards[-4:]) / 4
    print(f"reward {before:.3f} -> {after:.3f}")
    assert after > before + 0.03
