"""Phase `grpo`: the text decoder of phase `reasoning` describes clips; descriptions that are judged better than others of
the same clip become likelier, and the reasoning branch learns to say what they need.

Row in   step 17
Row out  {"loss": 0.03, "reward": 0.41, "judge": 0.35, "kl": 0.002, "length": 61.0, "reward_std": 0.12, …}

A rollout keeps its codes: the policy that wrote it and the one that learns from it read the same ones. Codebooks never
move here.
"""

# Shapes: B clips, G rollouts a clip, A answer tokens, T frames (25 Hz), R reasoning frames (5 Hz), D width, Q levels

import copy
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
from uniaudio.training.codec.grpo_reward import Reward, advantages, policy_loss, reward
from uniaudio.training.codec.judge import build_judge
from uniaudio.training.codec.objective import HeldOut, Losses, Share, drawn_clips
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
    """Answers to one batch of clips, and all that must not change until they are used up."""

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
        self._rollout: _Rollout | None = None

    def crops(self, step: int) -> list[Crop]:
        return drawn_clips(self.train, self.phase, self._first_step(step))[1]

    def reads(self, crop: Crop) -> bool:
        return not self.train.has_features(crop.clip)

    def losses(self, step: int, share: Share) -> Losses:
        first_step = self._first_step(step)
        if self._rollout is None or self._rollout.step != first_step:
            self._rollout = self._roll_out(first_step, share)
        rollout, num_rollouts = self._rollout, self.settings.num_rollouts
        reasoning_BRD, commitment_Q = self._reasoning(rollout, step)
        rollout_inputs = (
            reasoning_BRD.repeat_interleave(num_rollouts, 0),
            rollout.valid_BR.repeat_interleave(num_rollouts, 0),
        )
        log_NA, real_NA = self.policy.likelihood(*rollout_inputs, [QUESTION] * len(rollout.answers), rollout.answers)
        if rollout.old_NA is None:
            rollout.old_NA = log_NA.detach()
        advantage_BG, told_B = advantages(rollout.rewards.total.view(-1, num_rollouts).to(log_NA.device))
        counted_NA = real_NA & told_B.repeat_interleave(num_rollouts)[:, None]
        policy = policy_loss(
            log_NA, rollout.old_NA, rollout.reference_NA, advantage_BG.flatten(), counted_NA, self.settings
        )
        supervised = self._supervised(rollout, reasoning_BRD, step)
        commitment = commitment_Q.sum()
        loss = policy.loss + self.phase.commitment_weight * commitment + self.settings.sft_weight * supervised
        return {
            "loss": loss,
            "policy": policy.loss,
            "kl": policy.kl,
            "text": supervised,
            "commitment": commitment,
            **_statistics(rollout, num_rollouts, told_B),
            **_perplexities(rollout, self.codec.config.reasoning_codebook_size),
        }

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
    def _roll_out(self, step: int, share: Share) -> _Rollout:
        generator, crops = drawn_clips(self.train, self.phase, step)
        mine = slice(share.rank, None, share.world_size)
        all_clips = [crop.clip for crop in crops]
        clips, uniforms = all_clips[mine], self._uniforms(generator, len(all_clips))
        uniforms = uniforms.view(len(all_clips), self.settings.num_rollouts, -1)[mine].flatten(0, 1)
        features, valid_BT = padded_features([self.train.features(index) for index in clips])
        valid_BR = valid_BT[:, ::FRAMES_PER_REASONING]
        codes_BRQ = self._codes(features, valid_BT)
        answers = self._answers(codes_BRQ, valid_BR, uniforms)
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

    def _supervised(self, rollout: _Rollout, reasoning_BRD: Tensor, step: int) -> Tensor:
        """Cross-entropy of what the annotations answer, about the same clips."""
        generator = step_generator(self.phase.seed, "grpo supervised", step)
        examples = [draw_example(self.train.clips[index], self.phase, generator) for index in rollout.clips]
        answers, questions = [one.answer for one in examples], [one.question for one in examples]
        loss: Tensor = self.policy(reasoning_BRD, rollout.valid_BR, answers, questions)
        return loss

    def _uniforms(self, generator: np.random.Generator, num_clips: int) -> Tensor:
        """`[B * G, A]`."""
        shape = (num_clips * self.settings.num_rollouts, self.settings.max_answer_tokens)
        return torch.from_numpy(generator.random(shape, dtype=np.float32))


def _statistics(rollout: _Rollout, num_rollouts: int, told_B: Tensor) -> Losses:
    """What the answers were worth, how long they were, how much the groups had to tell."""
    rewards = rollout.rewards
    return {
        "reward": rewards.total.mean(),
        "judge": rewards.judge.mean(),
        "transcript": rewards.transcript.nanmean().nan_to_num(),
        "form": rewards.form.mean(),
        "reward_std": rewards.total.view(-1, num_rollouts).std(dim=1).mean(),
        "groups_used": told_B.float().mean(),
        "length": torch.tensor([float(len(answer)) for answer in rollout.answers]).mean(),
    }


def _perplexities(rollout: _Rollout, codebook_size: int) -> Losses:
    """exp(entropy) of the codes of the batch, a level."""
    codes_NQ = rollout.codes_BRQ[rollout.valid_BR]
    perplexities: Losses = {}
    for level in range(codes_NQ.shape[1]):
        share_K = torch.bincount(codes_NQ[:, level].cpu(), minlength=codebook_size) / len(codes_NQ)
        perplexities[f"code_perplexity_{level}"] = (-(share_K * share_K.clamp(min=1e-9).log()).sum()).exp()
    return perplexities


def _buffer(name: str) -> str:
    return "reference/" + name.replace(".", "/")
