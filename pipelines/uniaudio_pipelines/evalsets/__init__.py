"""Cards of evaluation sets: what is asked of a set's items, and where they come from. Light: neither torch nor ray.

A card is `<name>.toml` beside this module. The set itself is a version of raw that `uniaudio evalset add NAME FOLDER` registered, or that
`uniaudio evalset build NAME` laid out from the packages that the card names:

    source = "Debian hydrogen-data: two drum kits"
    licence = "GPL-2.0-or-later"
    task = "audio_understanding"
    question = "Which drum is hit"
    answer = "given_title"
    domain = "sound"
    baselines = ["logistic_regression"]
    items = 75
    fingerprint = "3f…"
    pattern = 'drumkits/(?P<speaker>[^/]+)/(?P<group>(?P<answer>\\w+?))-\\w+\\.wav'
    [answers]
    kick = "bass drum"
    [[packages]]
    name = "hydrogen-data"
"""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.plain import from_json

from uniaudio.metrics.table import METRICS
from uniaudio.tasks import TASKS

ANSWERS = ("given_text", "given_title", "given_captions")
"""Columns of raw that may hold what is to be answered."""
BASELINES = ("logistic_regression", "pocketsphinx")
CLIENTS = ("apt", "pip")


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPackage:
    """An ordinary package that carries items."""

    name: str
    version: str
    sha256: str
    client: str = "apt"
    container: str = ""
    """A zip inside the package that holds them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCard:
    """How a set is asked and judged."""

    name: str
    source: str
    licence: str
    task: str
    """Name of a task in `uniaudio.tasks` that answers with a text."""
    answer: str
    """One of `ANSWERS`."""
    question: str = ""
    """The question without its choices, which are all answers of the set; empty where the task asks."""
    domain: str = "speech"
    language: str = "en"
    """Language of the question, and of items whose source names none."""
    baselines: tuple[str, ...] = ()
    """Classical baselines, of `BASELINES`."""
    items: int = 0
    """Number of registered items; 0: as many as the folder holds."""
    fingerprint: str = ""
    """Hash of the items' files and answers; empty: not compared."""
    max_s: float = 10.0
    """Seconds of an item that are heard, from its start."""
    packages: tuple[SetPackage, ...] = ()
    pattern: str = ""
    """Regular expression of paths in a package, with the groups `answer`, `speaker` and `group` (recordings that belong together)."""
    answers: dict[str, str] = field(default_factory=dict)
    """What `answer` of the pattern matched -> the words; others stand for themselves. Empty words: no item."""
    languages: dict[str, str] = field(default_factory=dict)
    """What the group `language` of the pattern matched -> the language."""

    @property
    def has_choices(self) -> bool:
        return bool(self.question)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's; of questions with choices only what asks for the choice."""
        names = ("accuracy", "unparsed", "choice_accuracy") if self.has_choices else TASKS[self.task].metrics
        return tuple(name for name in names if METRICS[name].needs in ("choices", "words", "text"))


@cache
def cards() -> dict[str, SetCard]:
    """Name -> card, by name. UsageError that names the file where one is wrong."""
    cards_by_name = {}
    for file in files(__package__).iterdir():
        name, _, suffix = file.name.rpartition(".")
        if suffix == "toml":
            cards_by_name[name] = read_card(name, file.read_text(encoding="utf-8"))
    return dict(sorted(cards_by_name.items()))


def read_card(name: str, text: str) -> SetCard:
    """UsageError that names the card, and the key, where it is none."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}.toml: must be a TOML file, but is none: {error}.") from error
    card: SetCard = from_json(SetCard, json.dumps(values | {"name": name}), f"{name}.toml", error=UsageError)
    wrong = {
        "task": card.task in TASKS and TASKS[card.task].order[-1].is_text,
        "answer": card.answer in ANSWERS,
        "baselines": set(card.baselines) <= set(BASELINES),
        "packages": all(package.client in CLIENTS for package in card.packages)
        and bool(card.pattern) == bool(card.packages),
    }
    if bad := [key for key, is_right in wrong.items() if not is_right]:
        raise UsageError(f"{name}.toml: `{bad[0]}` must be one that cards may have, but is {getattr(card, bad[0])!r}.")
    return card


def set_fingerprint(items: Iterable[tuple[str, str]]) -> str:
    """Hash over (sha256 of the file, answer) of all items, in any order."""
    return short(hash_json(sorted(map(list, items))))
