"""Phase `grpo`: the text decoder of phase `reasoning` describes clips; descriptions that are judged better than others of
the same clip become likelier, and the reasoning branch learns to say what they need.

Row in   step 17
Row out  {"loss": 0.03, "reward": 0.41, "judge": 0.35, "kl": 0.002, "length": 61.0, "reward_std": 0.12, …}

A rollout keeps its codes: the policy that wrote it and the one that learns from it read the same ones. Codebooks never
move here.
"""

# Shapes: B clips, G rollouts a clip, A answer tokens, T frames (25 Hz), R reasoning frames (5 Hz), D width, Q levels

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.encoders.frozen import Features
from uniaudio.codec.reasoning import ReasoningBranch
from uniaudio.codec.text_decoder import QUESTIONS
from uniaudio.codec.text_policy import Likelihood, TextPolicy
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop, padded_features, step_generator
from uniaudio.training.codec.examples import Example
from uniaudio.training.codec.grpo_reward import Reward, advantages, policy_loss, reward
from uniaudio.training.codec.judge import build_judge
from uniaudio.training.codec.objective import HeldOut, Losses, Share, drawn_clips, places, shared, shares
from uniaudio.training.codec.reasoning import FRAMES_PER_REASONING, build_policy, draw_example, with_text

QUESTION = QUESTIONS["analysis"]


class GrpoTeacher(nn.Module):
    """The policy that learns, and what the phase started from: the reference policy and branch, never changed."""

    def __init__(self, policy: TextPolicy, branch: ReasoningBranch) -> None:
        super().__init__()
        self.policy = policy
        self.reference_branch = copy.deepcopy(branch).requires_grad_(False)
        # A module's buffer has no dot in its name.
        for name, parameter in policy.named_parameters():
            self.register_buffer(_buffer(name), parameter.detach().clone())

    def train(self, mode: bool = True) -> "GrpoTeacher":
        """Stays in eval mode: dropout would make the policy differ from the one that wrote the answers."""
        return super().train(False)

    def reference_likelihood(self, *arguments: object) -> Likelihood:
        """`TextPolicy.likelihood` by the reference policy."""
        tensors = {f"policy.{name}": self.get_buffer(_buffer(name)) for name, _ in self.policy.named_parameters()}
        likelihood: Likelihood = functional_call(_Likelihood(self.policy), tensors, arguments)
        return likelihood


class _Likelihood(nn.Module):
    """`policy.likelihood` as a forward pass: `functional_call` swaps parameters for nothing else."""

    def __init__(self, policy: TextPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *arguments: object) -> Likelihood:
        return self.policy.likelihood(*arguments)  # type: ignore[arg-type]


@dataclass(kw_only=True)
class _Rollout:
    """Answers to the clips of one pass, and all that must not change until they are used up."""

    step: int
    clips: list[int]
    features: Features
    valid_BT: Tensor
    valid_BR: Tensor
    codes_BRQ: Tensor
    answers: list[list[int]]
    rewards: Reward
    reference_NA: Tensor
    old_NA: Tensor | None = None

    def advantages(self) -> tuple[Tensor, Tensor]:
        """As `grpo_reward.advantages`, of each answer: `[B * G]`, and which groups `[B]` count."""
        advantage_BG, told_B = advantages(self.rewards.total.view(len(self.clips), -1).to(self.reference_NA.device))
        return advantage_BG.flatten(), told_B


class GrpoObjective:
    """The clipped policy loss of each batch, beside commitment and a share of the supervised loss."""

    def __init__(
        self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet, policy: TextPolicy | None
    ) -> None:
        self.codec, self.phase, self.settings = codec, phase, phase.grpo
        self.train, self.held_out_clips = with_text(phase, train, "clips"), with_text(phase, held_out, "held_out")
        self.policy = policy or build_policy(codec, phase)
        self.grpo_teacher = GrpoTeacher(self.policy, codec.reasoning)
        self.teacher: nn.Module = self.grpo_teacher
        self.judge = build_judge(self.settings.judge, self.settings.judge_model, codec.device)
        self._rollouts: list[_Rollout] = []
        """One a pass."""

    def crops(self, step: int) -> list[Crop]:
        return drawn_clips(self.train, self.phase, self._first_step(step))[1]

    def reads(self, crop: Crop) -> bool:
        return not self.train.has_features(crop.clip)

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        first_step = self._first_step(step)
        if not self._rollouts or self._rollouts[0].step != first_step:
            self._rollouts = self._roll_out(first_step, share)
        generator = step_generator(self.phase.seed, "grpo supervised", step)
        asked = [
            [draw_example(self.train.clips[index], self.phase, generator) for index in rollout.clips]
            for rollout in self._rollouts
        ]
        share_of = shares([self._counts(*one) for one in zip(self._rollouts, asked, strict=True)])
        statistics = {**_statistics(self._rollouts), **self._perplexities()}
        for rollout, examples, weights in zip(self._rollouts, asked, share_of, strict=True):
            terms = shared(self._terms(rollout, examples, step), weights)
            loss = terms["policy"] + self.phase.commitment_weight * terms["commitment"]
            loss = loss + self.settings.sft_weight * terms["text"]
            yield {"loss": loss, **terms, **{name: weights["clips"] * value for name, value in statistics.items()}}

    def _counts(self, rollout: _Rollout, asked: list[Example]) -> dict[str, float]:
        """What the mean of each term of these clips is taken over."""
        told = rollout.advantages()[1].tolist()
        num_rollouts = self.settings.num_rollouts
        num_tokens = sum(told[row // num_rollouts] * len(answer) for row, answer in enumerate(rollout.answers))
        num_targets = self.policy.num_targets([one.answer for one in asked], [one.question for one in asked])
        counts = {"policy": num_tokens, "text": num_targets, "commitment": int(rollout.valid_BR.sum())}
        return {name: float(count) for name, count in {**counts, "kl": num_tokens, "clips": len(told)}.items()}

    def _terms(self, rollout: _Rollout, asked: list[Example], step: int) -> Losses:
        num_rollouts = self.settings.num_rollouts
        reasoning_BRD, commitment_Q = self._reasoning(rollout, step)
        rollout_inputs = (
            reasoning_BRD.repeat_interleave(num_rollouts, 0),
            rollout.valid_BR.repeat_interleave(num_rollouts, 0),
        )
        log_NA, real_NA = self.policy.likelihood(*rollout_inputs, [QUESTION] * len(rollout.answers), rollout.answers)
        if rollout.old_NA is None:
            rollout.old_NA = log_NA.detach()
        advantage_N, told_B = rollout.advantages()
        counted_NA = real_NA & told_B.repeat_interleave(num_rollouts)[:, None]
        policy = policy_loss(log_NA, rollout.old_NA, rollout.reference_NA, advantage_N, counted_NA, self.settings)
        answers, questions = [one.answer for one in asked], [one.question for one in asked]
        supervised = self.policy(reasoning_BRD, rollout.valid_BR, answers, questions)
        return {"policy": policy.loss, "kl": policy.kl, "text": supervised, "commitment": commitment_Q.sum()}

    def held_out(self, step: int) -> HeldOut:
        """1 less the mean reward of answers to the held-out clips, from the same uniforms each time; the gain is of reward."""
        clips = list(range(min(len(self.held_out_clips), self.phase.num_held_out)))
        own_reward = self._held_out_reward(clips, clips)
        gain = own_reward - self._held_out_reward(clips, clips[1:] + clips[:1]) if len(clips) > 1 else None
        return HeldOut(1.0 - own_reward, gain)

    @torch.no_grad()
    def _held_out_reward(self, clips: list[int], heard: list[int]) -> float:
        """Mean reward of answers about `clips` where the clips `heard` are heard for them."""
        uniforms = self._uniforms(step_generator(0, "held out", 0), len(clips))
        features, valid_BT = padded_features([self.held_out_clips.features(index) for index in heard])
        codes_BRQ = self._codes(features, valid_BT)
        answers = self._answers(codes_BRQ, valid_BT[:, ::FRAMES_PER_REASONING], uniforms)
        return float(self._rewards(self.held_out_clips, clips, answers).total.mean())

    def _first_step(self, step: int) -> int:
        """The step that wrote the answers of step `step`."""
        return step - step % self.settings.num_inner_steps

    @torch.no_grad()
    def _roll_out(self, step: int, share: Share) -> list[_Rollout]:
        generator, crops = drawn_clips(self.train, self.phase, step)
        uniforms = self._uniforms(generator, len(crops)).view(len(crops), self.settings.num_rollouts, -1)
        return [
            self._rollout(step, [crops[place].clip for place in one], uniforms[one].flatten(0, 1))
            for one in places(len(crops), share, self.phase.micro_clips)
        ]

    def _rollout(self, step: int, clips: list[int], uniforms_NA: Tensor) -> _Rollout:
        features, valid_BT = padded_features([self.train.features(index) for index in clips])
        valid_BR = valid_BT[:, ::FRAMES_PER_REASONING]
        codes_BRQ = self._codes(features, valid_BT)
        answers = self._answers(codes_BRQ, valid_BR, uniforms_NA)
        reference = self.grpo_teacher.reference_likelihood(
            self._reference_reasoning(clips).repeat_interleave(self.settings.num_rollouts, 0),
            valid_BR.repeat_interleave(self.settings.num_rollouts, 0),
            [QUESTION] * len(answers),
            answers,
        )
        return _Rollout(
            step=step,
            clips=clips,
            features=features,
            valid_BT=valid_BT,
            valid_BR=valid_BR,
            codes_BRQ=codes_BRQ,
            answers=answers,
            rewards=self._rewards(self.train, clips, answers),
            reference_NA=reference.log_probability,
        )

    def _answers(self, codes_BRQ: Tensor, valid_BR: Tensor, uniforms_NA: Tensor) -> list[list[int]]:
        """`num_rollouts` answers a clip, all in one batch."""
        num_rollouts = len(uniforms_NA) // len(codes_BRQ)
        reasoning_BRD = self.codec.reasoning.quantizer.decode(codes_BRQ)
        return self.policy.sample(
            reasoning_BRD.repeat_interleave(num_rollouts, 0),
            valid_BR.repeat_interleave(num_rollouts, 0),
            [QUESTION] * len(uniforms_NA),
            uniforms_NA,
            self.settings.temperature,
        )

    def _rewards(self, clips: ClipSet, indices: list[int], answers: list[list[int]]) -> Reward:
        num_rollouts = len(answers) // len(indices)
        facts = [clips.clips[index].facts for index in indices for _ in range(num_rollouts)]
        return reward([self.policy.text(answer) for answer in answers], facts, self.judge)

    def _reasoning(self, rollout: _Rollout, step: int) -> tuple[Tensor, Tensor]:
        """Quantized frames `[B, R, D]` through the codes of the rollout, and commitment losses `[Q]`."""
        branch = self.codec.reasoning
        with torch.set_grad_enabled(step >= self.settings.num_frozen_steps):
            hidden_BRD = branch.hidden(rollout.features, rollout.valid_BT)
            return branch.quantizer.with_codes(hidden_BRD, rollout.codes_BRQ, rollout.valid_BR)

    def _codes(self, features: Features, valid_BT: Tensor) -> Tensor:
        return self.codec.reasoning.quantizer.encode_indices(self.codec.reasoning.hidden(features, valid_BT))

    def _reference_reasoning(self, clips: list[int]) -> Tensor:
        """Quantized frames `[B, R, D]` of the branch that the phase started from."""
        branch = self.grpo_teacher.reference_branch
        features, valid_BT = padded_features([self.train.features(index) for index in clips])
        return branch.quantizer.decode(branch.quantizer.encode_indices(branch.hidden(features, valid_BT)))

    def _perplexities(self) -> Losses:
        codes_NQ = torch.cat([one.codes_BRQ[one.valid_BR] for one in self._rollouts])
        return _perplexities(codes_NQ, self.codec.config.reasoning_codebook_size)

    def _uniforms(self, generator: np.random.Generator, num_clips: int) -> Tensor:
        """`[B * G, A]`."""
        shape = (num_clips * self.settings.num_rollouts, self.settings.max_answer_tokens)
        return torch.from_numpy(generator.random(shape, dtype=np.float32))


def _statistics(rollouts: Sequence[_Rollout]) -> Losses:
    """What the answers were worth, how long they were, how much the groups had to tell."""
    rewards = Reward(*(torch.cat(parts) for parts in zip(*(one.rewards for one in rollouts), strict=True)))
    num_clips, told_B = sum(len(one.clips) for one in rollouts), torch.cat([one.advantages()[1] for one in rollouts])
    return {
        "reward": rewards.total.mean(),
        "judge": rewards.judge.mean(),
        "transcript": rewards.transcript.nanmean().nan_to_num(),
        "form": rewards.form.mean(),
        "reward_std": rewards.total.view(num_clips, -1).std(dim=1).mean(),
        "groups_used": told_B.float().mean(),
        "length": torch.tensor([float(len(answer)) for one in rollouts for answer in one.answers]).mean(),
    }


def _perplexities(codes_NQ: Tensor, codebook_size: int) -> Losses:
    """exp(entropy) of codes, a level."""
    perplexities: Losses = {}
    for level in range(codes_NQ.shape[1]):
        share_K = torch.bincount(codes_NQ[:, level].cpu(), minlength=codebook_size) / len(codes_NQ)
        perplexities[f"code_perplexity_{level}"] = (-(share_K * share_K.clamp(min=1e-9).log()).sum()).exp()
    return perplexities


def _buffer(name: str) -> str:
    return "reference/" + name.replace(".", "/")
