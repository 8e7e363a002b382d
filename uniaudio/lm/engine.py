"""How single positions go through a model: the one engine of decoding, beside the model's own `forward`.

| | runs on | for what |
|---|---|---|
| `stepping` over `matrices` | any device | a few operations of torch a block, weights laid out for few rows on a CPU |
| `compiled` | a CPU with a C compiler, where `UniAudioLM.compile_decoding` asked for it | the same in one call of machine code |

Both are `Steps` over one cache, so that what writes answers does not know which of them it has.
"""

from collections.abc import Hashable, Iterable

from torch import Tensor, nn

from uniaudio.lm.blocks import Stack
from uniaudio.lm.compiled import CompiledMatrix, CompiledSteps
from uniaudio.lm.matrices import Matrix, matrix
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.stepping import MAX_COPIED, StackSteps, Steps


class DecodingEngine:
    """Lays out the weights of `model` for decoding about `num_rows` rows at once."""

    def __init__(self, model: UniAudioLM, num_rows: int) -> None:
        self._model, self._num_rows = model, num_rows
        self.may_copy = model.num_parameters() <= MAX_COPIED
        """Whether weights that a step reads once may be kept twice."""

    def steps(self, stack: Stack, *, may_copy: bool) -> Steps:
        """How single positions go through `stack`."""
        if self._model.compiles:
            return CompiledSteps(stack)
        return StackSteps(stack, self._num_rows, may_copy=may_copy)

    def matrix(self, owner: nn.Module, weight_OI: Tensor, *, may_copy: bool, part: Hashable = None) -> Matrix:
        """`weight_OI` as decoding multiplies with it; `part` tells apart several that `owner` holds."""
        if self._model.compiles:
            return CompiledMatrix(owner, weight_OI, part)
        return matrix(owner, weight_OI, self._num_rows, may_copy=may_copy, part=part)

    def trunk(self, names: Iterable[str]) -> dict[str, Steps]:
        """Steps through the trunk's stacks, by name; an expert without layers has none."""
        experts = {name: getattr(self._model, name).stack for name in ("understanding_expert", "generation_expert")}
        stacks = {"backbone": self._model.backbone} | experts
        return {name: self.steps(stacks[name], may_copy=self.may_copy) for name in names if stacks[name] is not None}
