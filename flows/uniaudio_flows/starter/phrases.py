"""What the voices of the starter say: numbers of one to four digits, and what one tells a house to do.

phrases_of("af_heart", 3)    ["seven two", "turn off the light in the kitchen", "zero one nine"]

A closed vocabulary of some eighty words, so that a model of a few million weights can learn to hear and to say it.
"""

import itertools
import random

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


def commands() -> list[str]:
    """Every command, in a fixed order."""
    switched = [
        f"turn {state} the {device}{place}"
        for state, device, place in itertools.product(
            ("on", "off"), _DEVICES, ("", *(f" in the {room}" for room in _ROOMS))
        )
    ]
    moved = [f"{verb} the {thing}" for verb, thing in itertools.product(("open", "close"), _THINGS)]
    timed = [f"set a timer for {number} seconds" for number in _MANY]
    return [*_FIXED, *moved, *timed, *switched]


def phrases_of(voice: str, num_phrases: int) -> list[str]:
    """The first `num_phrases` phrases of a voice: numbers and commands by turns, drawn anew for each voice; the same on every machine."""
    draw = random.Random(f"phrases of {voice}")
    fixed, switched = commands()[: -len(_DEVICES) * 2 * (len(_ROOMS) + 1)], commands()
    phrases = []
    for at in range(num_phrases):
        if at % 2:
            # A fixed command as often as one out of the many that are switched.
            phrases.append(draw.choice(fixed if at % 4 == 1 else switched))
        else:
            phrases.append(" ".join(draw.choices(_DIGITS, k=draw.randint(1, 4))))
    return phrases
