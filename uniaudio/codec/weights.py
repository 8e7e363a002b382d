"""Do these tensors fit this codec? The one answer, for released files and for a codec's own folder.

Row in   {"reasoning.merge.weight": [96, 128] float32}, {"reasoning.merge.weight": [96, 128] int8}
Row out  DataError: codec.safetensors: 1 not floating point: reasoning.merge.weight.
"""

from collections.abc import Callable, Mapping

from torch import Tensor
from uniaudio_schemas.errors import DataError

MAX_LISTED = 8


def check_fit(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    *,
    what: str,
    may_lack: str | None = None,
    their_name: Callable[[str], str] = str,
) -> None:
    """`DataError` that begins with `what` and lists the tensors of `tensors` that are missing (but for those whose names
    start with `may_lack`), unknown, misshapen, of another kind of number or, in the type of `own`, not finite, as
    `their_name` calls them. `own` may be on the meta device."""
    lacking = own.keys() - tensors.keys()
    shared = sorted(own.keys() & tensors.keys())
    problems = {
        "missing": sorted(key for key in lacking if may_lack is None or not key.startswith(may_lack)),
        "unknown": sorted(tensors.keys() - own.keys()),
        "misshapen": [key for key in shared if own[key].shape != tensors[key].shape],
        "not floating point": [
            key for key in shared if own[key].is_floating_point() and not tensors[key].is_floating_point()
        ],
        "complex": [key for key in shared if not own[key].is_floating_point() and tensors[key].is_complex()],
    }
    if not any(problems.values()):
        problems = {"not finite": [key for key in shared if not _is_finite(own[key], tensors[key])]}
    if any(problems.values()):
        listed = "; ".join(
            f"{len(keys)} {problem}: {', '.join(map(their_name, keys[:MAX_LISTED]))}"
            for problem, keys in problems.items()
            if keys
        )
        raise DataError(f"{what}: {listed}.")


def _is_finite(own: Tensor, tensor: Tensor) -> bool:
    """Whether all values are finite, also after conversion to the type of `own`: a large float64 is not a finite float32."""
    if own.is_floating_point():
        tensor = tensor.to(own.dtype)
    return bool(tensor.isfinite().all())
