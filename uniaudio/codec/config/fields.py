"""What the fields of the codec's configurations may hold, by their type hints. Imports no torch.

Row in   QuantizerConfig(num_levels=8, codebook_size="64", …)
Row out  UsageError: `codebook_size` must be a whole number from 1 to 16777216, but is '64'.
"""

import dataclasses
import math
import typing
from typing import Any, Literal

from uniaudio_schemas.errors import UsageError

# Beyond any codec that can be built: what is larger is a damaged file.
MAX_SIZE, MAX_COUNT, MAX_ITEMS = 1 << 24, 1024, 16
MAY_BE_ZERO = (
    "decode_steps",
    "encoder_seed",
    "layers",
    "num_ctc_slots",
    "num_mean_layers",
    "num_mel_bands",
    "num_text_layers",
    "phone_decoder_dim",
    "phone_layers",
)


def check_fields(config: Any) -> None:
    """`UsageError` for the first field of another type, or of a size that no codec has."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        _check(hints[field.name], getattr(config, field.name), field.name)


def _check(hint: Any, value: Any, name: str) -> None:
    requirement = ""
    if typing.get_origin(hint) is Literal:
        requirement = "" if value in typing.get_args(hint) else " or ".join(typing.get_args(hint))
    elif typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple) or len(value) > MAX_ITEMS:
            requirement = f"a list of at most {MAX_ITEMS} numbers"
        else:
            for item in value:
                _check(typing.get_args(hint)[0], item, name)
    elif hint is int:
        least, most = int(name not in MAY_BE_ZERO), MAX_COUNT if name.startswith("num_") else MAX_SIZE
        most = 2**63 - 1 if name == "encoder_seed" else most
        requirement = "" if type(value) is int and least <= value <= most else f"a whole number from {least} to {most}"
    elif hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        requirement = "" if number and math.isfinite(value) and value >= 0 else "a number of 0 or more"
    elif not isinstance(value, hint):
        kinds = " or ".join(f"a {kind.__name__}" for kind in typing.get_args(hint) or (hint,))
        requirement = {bool: "true or false", str: "a text"}.get(hint, kinds)
    if requirement:
        raise UsageError(f"`{name}` must be {requirement}, but is {value!r:.80}.")
