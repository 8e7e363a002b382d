"""The operations of recipes: new clips made from other clips. Pure: same parents, parameters and seed give the same
samples.

All take mono float32 at 24 kHz and whole samples; `OPERATIONS` is the table that recipes name. An operation never
clips: where the result would reach full scale it is scaled down as a whole. Each says beforehand how long its result
will be, so that a recipe can carry its length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.loudness import limit_peak

_TINY_POWER = 1e-12  # mean square; below it a signal counts as digital silence and no ratio to it exists


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    render: Callable[..., np.ndarray]
    """`render(parents, rng, **parameters) -> [N]`."""
    length: Callable[..., int]
    """`length(parent_lengths, **parameters) -> N`."""
    num_parents: tuple[int, int | None]
    """Least and most parents; None where there is no upper bound."""


def render_operation(name: str, parents: Sequence[np.ndarray], parameters: dict[str, Any], seed: int) -> np.ndarray:
    """`[N]` float32 24 kHz: the operation `name` of `OPERATIONS` on the parents."""
    operation = _operation(name, len(parents))
    for position, parent in enumerate(parents):
        if parent.ndim != 1 or not parent.size:
            raise UsageError(f"Parent {position} of `{name}` must be [N] with N > 0, but is {parent.shape}.")
    expected = operation_length(name, [parent.size for parent in parents], parameters)
    result = _call(
        operation.render,
        name,
        [np.asarray(parent, np.float32) for parent in parents],
        np.random.default_rng(seed),
        parameters,
    )
    result = limit_peak(np.asarray(result)).astype(np.float32)
    assert result.shape == (expected,), f"{name} gave {result.shape} instead of {expected} samples"
    return result


def operation_length(name: str, parent_lengths: Sequence[int], parameters: dict[str, Any]) -> int:
    """Samples the result will have, from the parents' lengths alone."""
    operation = _operation(name, len(parent_lengths))
    num_samples = int(_call(operation.length, name, list(parent_lengths), parameters))
    if num_samples <= 0:
        raise UsageError(
            f"`{name}` must leave samples, but leaves {num_samples} of {list(parent_lengths)} with {parameters}."
        )
    return num_samples


def _operation(name: str, num_parents: int) -> Operation:
    if name not in OPERATIONS:
        raise UsageError(f"`operation` must be one of {', '.join(sorted(OPERATIONS))}, but is {name!r}.")
    operation = OPERATIONS[name]
    least, most = operation.num_parents
    if num_parents < least or (most is not None and num_parents > most):
        bound = f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"
        raise UsageError(f"`{name}` must have {bound} parents, but has {num_parents}.")
    return operation


def _call(function: Callable[..., Any], name: str, *arguments: Any) -> Any:
    *positional, parameters = arguments
    try:
        return function(*positional, **parameters)
    except TypeError as error:
        raise UsageError(f"The parameters of `{name}` do not fit: {error}.") from error


def scale_to_snr(target: np.ndarray, disturbance: np.ndarray, snr_db: float) -> np.ndarray:
    """`disturbance` scaled so that `target` is `snr_db` decibels of mean power above it; silence on either side
    leaves it as it is.
    """
    target_power, power = (float(np.mean(np.square(part, dtype=np.float64))) for part in (target, disturbance))
    if target_power < _TINY_POWER or power < _TINY_POWER:
        return disturbance
    return disturbance * np.float32(np.sqrt(target_power / power * 10 ** (-snr_db / 10)))


def _mix(parents: list[np.ndarray], rng: np.random.Generator, *, snr_db: float, length: str = "first") -> np.ndarray:
    """The first parent plus each further one `snr_db` below it, looped or cut at a random start to the length of the
    result.
    """
    num_samples = _mix_length([part.size for part in parents], snr_db=snr_db, length=length)
    result = np.zeros(num_samples, np.float32)
    result[: parents[0].size] = parents[0]
    for other in parents[1:]:
        if length == "longest" and other.size <= num_samples:
            excerpt = np.zeros(num_samples, np.float32)
            first = int(rng.integers(0, num_samples - other.size + 1))
            excerpt[first : first + other.size] = other
        else:
            excerpt = _excerpt(other, num_samples, rng)
        result += scale_to_snr(parents[0], excerpt, snr_db)
    return result


def _mix_length(lengths: list[int], *, snr_db: float, length: str = "first") -> int:
    if length not in ("first", "longest"):
        raise UsageError(f"`length` must be first or longest, but is {length!r}.")
    return lengths[0] if length == "first" else max(lengths)


def _excerpt(samples: np.ndarray, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    first = int(rng.integers(0, max(1, samples.size - num_samples + 1)))
    return np.resize(samples[first:] if samples.size >= num_samples else samples, num_samples)


def _concatenate(parents: list[np.ndarray], rng: np.random.Generator, *, gap_samples: int = 0) -> np.ndarray:
    """One parent after the other with `gap_samples` of silence between them."""
    gap = np.zeros(gap_samples, np.float32)
    return np.concatenate([piece for parent in parents for piece in (gap, parent)][1:])


def _concatenated_length(lengths: list[int], *, gap_samples: int = 0) -> int:
    if gap_samples < 0:
        raise UsageError(f"`gap_samples` must be 0 or more, but is {gap_samples}.")
    return sum(lengths) + gap_samples * (len(lengths) - 1)


def _add_noise(
    parents: list[np.ndarray], rng: np.random.Generator, *, snr_db: float, color: str = "white"
) -> np.ndarray:
    """Plus synthetic noise `snr_db` below: `white`, or `pink` (3 dB an octave)."""
    noise = rng.standard_normal(parents[0].size).astype(np.float32)
    if color == "pink":
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1))
        noise = np.fft.irfft(spectrum, noise.size).astype(np.float32) if noise.size > 1 else noise
    elif color != "white":
        raise UsageError(f"`color` must be white or pink, but is {color!r}.")
    noisy: np.ndarray = parents[0] + scale_to_snr(parents[0], noise, snr_db)
    return noisy


def _gain(parents: list[np.ndarray], rng: np.random.Generator, *, gain_db: float) -> np.ndarray:
    return parents[0] * np.float32(10 ** (gain_db / 20))


def _crop(parents: list[np.ndarray], rng: np.random.Generator, *, first_sample: int, num_samples: int) -> np.ndarray:
    return parents[0][first_sample : first_sample + num_samples]


def _cropped_length(lengths: list[int], *, first_sample: int, num_samples: int) -> int:
    _inside(lengths[0], first_sample, num_samples)
    return num_samples


def _cut_out(parents: list[np.ndarray], rng: np.random.Generator, *, first_sample: int, num_samples: int) -> np.ndarray:
    """The audio without the given stretch: what stood before and after it is joined."""
    return np.delete(parents[0], slice(first_sample, first_sample + num_samples))


def _remaining_length(lengths: list[int], *, first_sample: int, num_samples: int) -> int:
    _inside(lengths[0], first_sample, num_samples)
    return lengths[0] - num_samples


def _insert(parents: list[np.ndarray], rng: np.random.Generator, *, first_sample: int) -> np.ndarray:
    """The second parent put into the first before `first_sample`."""
    return np.insert(parents[0], first_sample, parents[1])


def _inserted_length(lengths: list[int], *, first_sample: int) -> int:
    _inside(lengths[0], first_sample, 0)
    return sum(lengths)


def _splice(
    parents: list[np.ndarray],
    rng: np.random.Generator,
    *,
    first_sample: int,
    num_samples: int,
    from_sample: int,
    from_num_samples: int,
) -> np.ndarray:
    """The first parent, with a stretch of the second one where `num_samples` from `first_sample` on stood; 0 samples only insert."""
    put_in = parents[1][from_sample : from_sample + from_num_samples]
    return np.concatenate([parents[0][:first_sample], put_in, parents[0][first_sample + num_samples :]])


def _spliced_length(
    lengths: list[int], *, first_sample: int, num_samples: int, from_sample: int, from_num_samples: int
) -> int:
    _inside(lengths[0], first_sample, num_samples)
    _inside(lengths[1], from_sample, from_num_samples)
    return lengths[0] - num_samples + from_num_samples


def _inside(length: int, first_sample: int, num_samples: int) -> None:
    if not (first_sample >= 0 and num_samples >= 0 and first_sample + num_samples <= length):
        raise UsageError(
            f"The stretch must lie inside the parent's {length} samples, but is {first_sample} + {num_samples}."
        )


def _band_limit(parents: list[np.ndarray], rng: np.random.Generator, *, cutoff_hz: float) -> np.ndarray:
    """Nothing above `cutoff_hz`, as after a telephone line: a cosine slope an eighth of the cutoff wide."""
    if not 0 < cutoff_hz <= SAMPLE_RATE / 2:
        raise UsageError(f"`cutoff_hz` must be above 0 and at most {SAMPLE_RATE // 2}, but is {cutoff_hz}.")
    samples = parents[0]
    hertz = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)
    slope = np.clip((cutoff_hz - hertz) / (cutoff_hz / 8), 0, 1)
    return np.fft.irfft(np.fft.rfft(samples) * (0.5 - 0.5 * np.cos(np.pi * slope)), samples.size)


def _reverberate(
    parents: list[np.ndarray], rng: np.random.Generator, *, decay_samples: int, wet_db: float = -6.0
) -> np.ndarray:
    """Plus its echo in a made-up room: noise that falls by 60 dB in `decay_samples`, `wet_db` against the dry sound."""
    if decay_samples <= 0:
        raise UsageError(f"`decay_samples` must be positive, but is {decay_samples}.")
    samples = parents[0]
    room = rng.standard_normal(decay_samples) * 10 ** (-3 * np.arange(decay_samples) / decay_samples)
    size = samples.size + decay_samples
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room, size), size)[: samples.size]
    reverberant: np.ndarray = samples + scale_to_snr(samples, wet.astype(np.float32), -wet_db)
    return reverberant


def _shift_voice(parents: list[np.ndarray], rng: np.random.Generator, *, ratio: float) -> np.ndarray:
    """The voice of a larger or smaller speaker: pitch and formants times `ratio`, as long as before."""
    # Planning knows lengths alone, and runs without torch.
    from uniaudio.audio.voice import shift_voice

    return shift_voice(parents[0], ratio)


def _same_length(lengths: list[int], **_: Any) -> int:
    return lengths[0]


OPERATIONS: dict[str, Operation] = {
    "mix": Operation(render=_mix, length=_mix_length, num_parents=(2, None)),
    "concatenate": Operation(render=_concatenate, length=_concatenated_length, num_parents=(1, None)),
    "add_noise": Operation(render=_add_noise, length=_same_length, num_parents=(1, 1)),
    "gain": Operation(render=_gain, length=_same_length, num_parents=(1, 1)),
    "crop": Operation(render=_crop, length=_cropped_length, num_parents=(1, 1)),
    "cut_out": Operation(render=_cut_out, length=_remaining_length, num_parents=(1, 1)),
    "insert": Operation(render=_insert, length=_inserted_length, num_parents=(2, 2)),
    "splice": Operation(render=_splice, length=_spliced_length, num_parents=(2, 2)),
    "band_limit": Operation(render=_band_limit, length=_same_length, num_parents=(1, 1)),
    "shift_voice": Operation(render=_shift_voice, length=_same_length, num_parents=(1, 1)),
    "reverberate": Operation(render=_reverberate, length=_same_length, num_parents=(1, 1)),
}
