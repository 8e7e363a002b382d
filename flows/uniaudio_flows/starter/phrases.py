"""What the voices of the starter say: numbers of one to four digits, and what one tells a house to do.

phrases_of("af_heart", 3)    ["seven two", "turn off the light in the kitchen", "zero one nine"]

A closed vocabulary of some eighty words, so that a model of a few million weights can learn to hear and to say it.
"""

import itertools
import random

from uniaudio_schemas.errors import UsageError

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DEVICES = ("light", "fan", "heater", "radio", "television", "lamp")
_ROOMS = ("kitchen", "bedroom", "bathroom", "garage", "living room")
_THINGS = ("door", "window", "garage", "curtain")
_MANY = ("five", "ten", "twenty", "thirty")
_FIXED = (
    "yes", "no", "stop", "go", "help", "thank you", "good morning", "good night", "play some music", "play the next song", "stop the music",
    "what time is it", "how is the weather today", "turn the volume up", "turn the volume down", "call my mother", "call my father",
    "call the doctor", "read my messages", "lock the front door",
)  # fmt: skip


_FIXED_COMMANDS = (
    *_FIXED,
    *(f"{verb} the {thing}" for verb, thing in itertools.product(("open", "close"), _THINGS)),
    *(f"set a timer for {number} seconds" for number in _MANY),
)
_COMMANDS = (
    *_FIXED_COMMANDS,
    *(
        f"turn {state} the {device}{place}"
        for state, device, place in itertools.product(
            ("on", "off"), _DEVICES, ("", *(f" in the {room}" for room in _ROOMS))
        )
    ),
)


def phrases_of(voice: str, num_phrases: int) -> list[str]:
    """The first `num_phrases` phrases of a voice, no two alike: numbers and commands by turns, drawn anew for each voice; the same on every
    machine. UsageError where there are fewer commands than half as many."""
    if num_phrases > 2 * len(_COMMANDS):
        raise UsageError(f"`num_phrases` must be at most {2 * len(_COMMANDS)}, but is {num_phrases}.")
    draw, redraw = random.Random(f"phrases of {voice}"), random.Random(f"more phrases of {voice}")
    phrases: dict[str, None] = {}
    for at in range(num_phrases):
        phrase = _drawn(draw, at)
        while phrase in phrases:  # a voice says the same phrase in the same way: a second time teaches nothing
            phrase = _drawn(redraw, at | 2)
        phrases[phrase] = None
    return list(phrases)


def _drawn(draw: random.Random, at: int) -> str:
    """A number where `at` is even; else by turns a fixed command, of which there are few, and any command."""
    if at % 2 == 0:
        return " ".join(draw.choices(_DIGITS, k=draw.randint(1, 4)))
    return draw.choice(_FIXED_COMMANDS if at % 4 == 1 else _COMMANDS)
