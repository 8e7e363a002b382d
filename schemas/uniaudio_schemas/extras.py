"""Packages of an extra are imported by what uses them; where one is missing, one line says which extra brings it.

with optional_packages():
    import soundfile        # NotInstalledError: soundfile is not installed: `pip install 'uniaudio[audio]'`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata

from uniaudio_schemas.errors import UsageError

DISTRIBUTION = "uniaudio"
_OTHER_NAMES = {"whisper": "openai-whisper", "yaml": "pyyaml"}
"""Modules whose distribution has another name."""
_COLLECTIONS = ("all", "dev")
"""Extras that are made of others."""
_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*;.*extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


class NotInstalledError(UsageError, ModuleNotFoundError):
    """A package of an extra is missing."""


@contextmanager
def optional_packages() -> Iterator[None]:
    """Around imports of packages that the base does not bring."""
    try:
        yield
    except NotInstalledError:
        raise
    except ModuleNotFoundError as error:
        raise NotInstalledError(install_hint(error), name=error.name) from error


def install_hint(error: ModuleNotFoundError) -> str:
    """What to type, in one line."""
    module = (error.name or str(error)).partition(".")[0]
    extra = extra_of(module)
    requirement = f"'{DISTRIBUTION}[{extra}]'" if extra else module
    return f"{module} is not installed: `pip install {requirement}`."


def extra_of(module: str) -> str | None:
    """The smallest extra whose packages hold `module`; None where no extra names it."""
    return _extras().get(_normal(_OTHER_NAMES.get(module, module)))


@cache
def _extras() -> dict[str, str]:
    """Distribution -> extra, as this installation declares them."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from its source, without being installed
        return {}
    matches = [match for text in requirements if (match := _REQUIREMENT.match(text))]
    pairs = [(match["extra"], _normal(match["name"])) for match in matches if match["extra"] not in _COLLECTIONS]
    # An extra that is part of another one stands behind it, so that it is what stays.
    size = Counter(extra for extra, _ in pairs)
    return {name: extra for extra, name in sorted(pairs, key=lambda pair: -size[pair[0]])}


def _normal(name: str) -> str:
    """The name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
