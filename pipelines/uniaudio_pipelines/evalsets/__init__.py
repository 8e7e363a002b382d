"""Cards of evaluation sets: what is asked of a set's items, and where they come from. Light: neither torch nor ray.

A card is `<name>.toml` beside this module, or in the user's own folder of cards. The set itself is a version of raw that `uniaudio evalset add
NAME FOLDER` registered, or that `uniaudio evalset build NAME` laid out from the packages that the card names:

    source = "Debian hydrogen-data: two drum kits"
    licence = "GPL-2.0-or-later"
    task = "audio_understanding"
    question = "Which drum is hit"
    answer = "given_title"
    domain = "sound"
    shots = [0, 4]
    metrics = ["accuracy", "unparsed"]
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
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.names import check_name
from uniaudio_schemas.plain import from_json

from uniaudio.metrics.table import METRICS
from uniaudio.tasks import TASKS

ANSWERS = ("given_text", "given_title", "given_captions")
"""Columns of raw that may hold what is to be answered."""
BASELINES = ("logistic_regression", "pocketsphinx")
CLIENTS = ("apt", "pip")
_SUFFIX = ".toml"
_MOST_SHOTS = 64


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
    shots: tuple[int, ...] = ()
    """Numbers of solved examples before each question; empty: those of the job. A task that is shown by examples needs its own."""
    metrics: tuple[str, ...] = ()
    """Metrics that are scored, of those that the task declares for such answers; empty: all of them."""
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
    """Regular expression of paths in a package, or in a folder that is added, with the group `answer`, and `speaker` and `group` (recordings
    that belong together) where the path says them; empty where labels say the answer."""
    answers: dict[str, str] = field(default_factory=dict)
    """What `answer` of the pattern matched -> the words; others stand for themselves. Empty words: no item."""
    languages: dict[str, str] = field(default_factory=dict)
    """What the group `language` of the pattern matched -> the language."""

    def __post_init__(self) -> None:
        """UsageError that names the key."""
        check_name(self.name, "name")
        wrong = {
            "task": self.task in TASKS and TASKS[self.task].order[-1].is_text,
            "answer": self.answer in ANSWERS,
            "baselines": set(self.baselines) <= set(BASELINES),
            "packages": all(package.client in CLIENTS for package in self.packages),
            "pattern": _is_pattern(self.pattern) if self.pattern else not self.packages,
        }
        if bad := [key for key, is_right in wrong.items() if not is_right]:
            raise UsageError(f"`{bad[0]}` must be one that cards may have, but is {getattr(self, bad[0])!r}.")
        if unknown := [name for name in self.metrics if name not in self.declared_metrics]:
            raise UsageError(f"`metrics` must be of {', '.join(self.declared_metrics)}, but hold {unknown[0]}.")
        least, most = self._shots_of_task
        if not all(least <= count <= most for count in self.shots or (0,)):
            counts = ", ".join(map(str, self.shots)) or "none"
            raise UsageError(f"`shots` must lie in {least} … {most} for task {self.task}, but are {counts}.")

    @property
    def has_choices(self) -> bool:
        return bool(self.question)

    @property
    def declared_metrics(self) -> tuple[str, ...]:
        """The task's; of questions with choices only what asks for the choice."""
        kinds = ("choices",) if self.has_choices else ("choices", "words", "text")
        return tuple(name for name in TASKS[self.task].metrics if METRICS[name].needs in kinds)

    @property
    def scored_metrics(self) -> tuple[str, ...]:
        return self.metrics or self.declared_metrics

    @property
    def _shots_of_task(self) -> tuple[int, int]:
        task = TASKS[self.task]
        return task.num_repeats if any(slot.repeats for slot in task.order) else (0, _MOST_SHOTS)


@cache
def cards() -> dict[str, SetCard]:
    """Name -> card of this package, by name. UsageError that names the file where one is wrong."""
    files_by_name = {
        file.name.removesuffix(_SUFFIX): file for file in files(__package__).iterdir() if file.name.endswith(_SUFFIX)
    }
    return {name: read_card(name, file.read_text(encoding="utf-8")) for name, file in sorted(files_by_name.items())}


def own_cards(folder: Path) -> tuple[SetCard, ...]:
    """The cards `<name>.toml` right below a user's folder, by name; none where there is no such folder. UsageError that names the file, and
    the key, where one is wrong or has the name of a card of this package."""
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: must be a text file in UTF-8, but cannot be read: {error}.") from error
        found.append(read_card(path.stem, text, str(path)))
        if path.stem in cards():
            raise UsageError(
                f"{path}: `name` of a set of one's own must be new, but {path.stem} is a set of the package."
            )
    return tuple(found)


def cards_with(own: Iterable[SetCard]) -> dict[str, SetCard]:
    """Name -> card, of this package and of the user's own."""
    return dict(sorted((cards() | {card.name: card for card in own}).items()))


def read_card(name: str, text: str, where: str = "") -> SetCard:
    """UsageError that names the card (`where`: its path), and the key, where it is none."""
    where = where or f"{name}{_SUFFIX}"
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: must be a TOML file, but is none: {error}.") from error
    card: SetCard = from_json(SetCard, json.dumps(values | {"name": name}, default=str), where, error=UsageError)
    return card


def _is_pattern(pattern: str) -> bool:
    try:
        return "answer" in re.compile(pattern).groupindex
    except re.error:
        return False


def set_fingerprint(items: Iterable[tuple[str, str]]) -> str:
    """Hash over (sha256 of the file, answer) of all items, in any order."""
    return short(hash_json(sorted(map(list, items))))
