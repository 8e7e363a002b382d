"""Phase `grpo`: judges, rewards and the policy loss; `test_listening.py` shows that it learns."""

from dataclasses import replace

import pytest
import torch

from uniaudio.codec.quantize import ResidualVQ
from uniaudio.codec.text_decoder import TextDecoder
from uniaudio.stages.codec_phase import GrpoSettings
from uniaudio.stages.codec_phases import codec_phases
from uniaudio.training.codec.examples import ClipFacts, examples
from uniaudio.training.codec.grpo import GrpoTeacher
from uniaudio.training.codec.grpo_reward import advantages, policy_loss, reward
from uniaudio.training.codec.judge import ChatJudge, RuleJudge
from uniaudio.training.codec.train import train_codec
from uniaudio.training.run import Listeners

SPEECH = ClipFacts(domain="speech", transcript="let's go", caption="a man speaks")
SOUND = ClipFacts(domain="sound", caption="splat")
RIGHT = 'Audio: speech\nDetails: "let\'s go"\nMeaning: a man speaks'


def test_the_reference_analysis_earns_the_whole_reward() -> None:
    (analysis,) = examples(SPEECH, ("analysis",))
    assert analysis.answer == RIGHT
    earned = reward([RIGHT, "Audio: sound\nMeaning: splat"], [SPEECH, SOUND], RuleJudge())
    assert earned.total.tolist() == pytest.approx([1.0, 1.0])
    assert earned.transcript[1].isnan()


@pytest.mark.parametrize(
    "worse",
    [
        RIGHT.replace("speech", "music"),
        RIGHT.replace("go", "stay"),
        RIGHT + " and a dog barks in the rain",
        RIGHT.replace("Meaning: ", ""),
        "\n".join(reversed(RIGHT.splitlines())),
        RIGHT + "\n" + RIGHT,
        "",
    ],
)
def test_what_is_wrong_invented_missing_or_out_of_form_earns_less(worse: str) -> None:
    best, earned = reward([RIGHT, worse], [SPEECH, SPEECH], RuleJudge()).total.tolist()
    assert earned < best - 0.05


def test_a_chat_judge_asks_nothing_about_a_clip_of_which_nothing_is_known() -> None:
    assert ChatJudge(lambda *_: pytest.fail("asked")).scores(["Audio: speech"], [ClipFacts()]) == [0.0]


def test_advantages_are_in_deviations_of_the_group_and_equal_groups_tell_nothing() -> None:
    advantage, told = advantages(torch.tensor([[0.0, 1.0, 0.5], [0.4, 0.4, 0.4]]))
    assert torch.allclose(advantage[0], torch.tensor([-1.0, 1.0, 0.0]), atol=1e-3)
    assert told.tolist() == [True, False]


def test_the_policy_gradient_is_the_advantage_over_the_tokens_and_stops_at_the_clip() -> None:
    old = torch.full((2, 2), -1.0)
    counted = torch.tensor([[True, True], [True, False]])
    advantage = torch.tensor([2.0, -1.0])
    settings = GrpoSettings(kl_weight=0.0)
    log = old.clone().requires_grad_()
    policy_loss(log, old, old, advantage, counted, settings).loss.backward()
    assert torch.allclose(log.grad, -torch.tensor([[2.0, 2.0], [-1.0, 0.0]]) / 3)
    # A gain is not pushed beyond the clip; a loss still is pulled back.
    log = (old + torch.tensor([[0.5, -0.5], [0.5, 0.0]])).requires_grad_()
    policy_loss(log, old, old, advantage, counted, settings).loss.backward()
    assert log.grad[0, 0] == 0 and log.grad[0, 1] != 0 and log.grad[1, 0] != 0


def test_the_distance_to_the_reference_is_zero_there_and_k3_elsewhere() -> None:
    log, counted = torch.tensor([[-1.0, -2.0]]), torch.ones(1, 2, dtype=torch.bool)
    zero = policy_loss(log, log, log, torch.zeros(1), counted, GrpoSettings())
    assert zero.kl == 0 and zero.loss == 0
    reference = log + torch.tensor([[0.3, -0.2]])
    expected = ((reference - log).exp() - (reference - log) - 1).mean()
    assert torch.isclose(policy_loss(log, log, reference, torch.zeros(1), counted, GrpoSettings()).kl, expected)


def test_given_codes_quantize_as_the_search_does_with_its_gradient_and_move_no_codebook() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(6, 4, 3, 8).train()
    quantizer.freeze_codebooks()
    x, valid = torch.randn(2, 5, 6, requires_grad=True), torch.arange(5) < torch.tensor([[5], [3]])
    searched, codes, commitment = quantizer(x, valid)
    (gradient,) = torch.autograd.grad(searched.square().sum() + commitment.sum(), x)
    other = ResidualVQ(6, 4, 3, 8).train()
    other.load_state_dict(quantizer.state_dict())
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    given, given_commitment = other.with_codes(x, codes, valid)
    (given_gradient,) = torch.autograd.grad(given.square().sum() + given_commitment.sum(), x)
    for ours, theirs in ((given, searched), (given_commitment, commitment), (given_gradient, gradient)):
        assert torch.allclose(ours, theirs, atol=1e-6)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def grpo_phases(short, sft_steps: int, num_steps: int, **settings):
    reasoning, grpo = codec_phases(("reasoning", "grpo"))
    shared = {"tasks": ("analysis",), "crop_samples": 192_000, "num_clips": 6, "num_held_out": 6}
    reasoning = short(reasoning, sft_steps, **shared, num_unquantized_steps=sft_steps // 3)
    grpo = short(grpo, num_steps, **shared, log_every=1)
    return [reasoning, replace(grpo, grpo=replace(grpo.grpo, **settings))]


class FickleJudge:
    """Has an opinion of any text, so that an untrained policy's answers differ in worth."""

    def __init__(self) -> None:
        self.num_asked = 0

    def scores(self, answers, facts) -> list[float]:
        self.num_asked += 1
        return [sum(answer.encode()) % 11 / 10 for answer in answers]


def test_grpo_starts_at_the_reference_and_trains_the_text_decoder_alone_at_first(
    new_codec, short, train_clips, held_out_clips, monkeypatch
) -> None:
    judge = FickleJudge()
    monkeypatch.setattr("uniaudio.training.codec.grpo.build_judge", lambda *_: judge)
    settings = {"num_rollouts": 3, "max_answer_tokens": 8, "num_frozen_steps": 1, "num_inner_steps": 1}
    reasoning, grpo = grpo_phases(short, 2, 2, **settings)
    grpo = replace(grpo, num_clips=2, num_held_out=2)
    states = []
    codec = new_codec()
    metrics = train_codec(
        codec,
        [reasoning, grpo],
        train_clips,
        held_out_clips,
        listeners=Listeners(
            on_progress=lambda _: states.append({name: tensor.clone() for name, tensor in codec.state_dict().items()})
        ),
    )
    curve = {(m.name, m.step): m.value for m in metrics if m.phase == "grpo"}
    assert judge.num_asked == 2 + 3 * 2, "of each rollout, and of held-out clips from their own and from others' frames"
    assert curve["kl", 1] == pytest.approx(0, abs=1e-6) and curve["kl", 2] > 0
    assert {"reward", "judge", "form", "reward_std", "length", "code_perplexity_0", "code_perplexity_7"} <= {
        name for name, _ in curve
    }
    # The text decoder is kept with the codec.
    of_codec = [name for name in states[1] if not name.startswith("text.")]
    moved = [{name for name in of_codec if not torch.equal(states[i][name], states[i + 1][name])} for i in (1, 2)]
    assert moved[0] == set(), "the codec learned in a step that is the decoder's alone"
    assert moved[1] and not any("codebooks" in name for name in moved[1])
    assert {name.split(".")[0] for name in moved[1]} == {"reasoning"}


def test_the_reference_policy_stays_what_the_phase_started_from() -> None:
    torch.manual_seed(0)
    policy = TextDecoder(8, num_layers=1, max_bytes=20, max_frames=4)
    teacher = GrpoTeacher(policy, torch.nn.Linear(2, 2)).train()
    arguments = (torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool), ["Q"], [policy.token_ids("yes")])
    with torch.no_grad():
        before = policy.likelihood(*arguments).log_probability
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        assert not torch.allclose(policy.likelihood(*arguments).log_probability, before, atol=1e-3)
        moved = [parameter.clone() for parameter in policy.parameters()]
        assert torch.allclose(teacher.reference_likelihood(*arguments).log_probability, before, atol=1e-6)
    assert all(torch.equal(*pair) for pair in zip(moved, policy.parameters(), strict=True))
    assert {name.split(".")[0].split("/")[0] for name in teacher.state_dict()} == {
        "policy",
        "reference",
        "reference_branch",
    }
