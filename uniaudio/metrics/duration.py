"""How far the length of what was made is off: `|ln(made / recorded)|`, 0 is equal, 0.69 twice or half as long."""

import math


def length_error(num_recorded: int, num_made: float) -> float | None:
    """The absolute logarithm of the ratio of two numbers of frames; None where either is 0."""
    return abs(math.log(num_made / num_recorded)) if num_made > 0 and num_recorded > 0 else None
