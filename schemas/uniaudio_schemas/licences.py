"""What the installed packages say of their own licences: those that this distribution requires, with all that they require.

{"package": "torch", "version": "2.13.0", "licence": "BSD-3-Clause", "directly": True}
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

from uniaudio_schemas.extras import DISTRIBUTION

_LONGEST = 60
"""Some write the licence's whole text where its name belongs."""
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*")
_LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING)", re.IGNORECASE)
_TITLE = 120
"""Characters that hold a licence's title."""
_CLASSIFIER = "License :: "


def installed_licences() -> list[dict[str, Any]]:
    """Installed packages with their licences, by name. A package that says nothing has the licence "unknown"."""
    distributions: dict[str, metadata.Distribution] = {}
    direct = _required_by(metadata.distribution(DISTRIBUTION))
    queue = list(direct)
    while queue:
        name = queue.pop()
        if name in distributions or name == DISTRIBUTION:
            continue
        try:
            distributions[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra, a system or a Python that is not this one
        queue += _required_by(distributions[name])
    return [
        {
            "package": str(one.metadata["Name"]),
            "version": one.version,
            "licence": licence_of(one),
            "directly": name in direct,
        }
        for name, one in sorted(distributions.items())
    ]


def licence_of(distribution: metadata.Distribution) -> str:
    """Licence of a package. Its licence file decides where that is of the GNU Affero licence, whatever is said elsewhere
    (whisper-timestamped says GPL there and ships the AGPL). Else the expression of newer packages decides, then classifiers, then the field
    that holds anything."""
    if any(_is_of_affero(file) for file in distribution.files or [] if _LICENCE_FILE.match(file.name)):
        return "AGPL-3.0"
    about: Any = distribution.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [str(one) for one in about.get_all("Classifier") or [] if str(one).startswith(_CLASSIFIER)]
    names = [one.rpartition(" :: ")[2] for one in classifiers if one != "License :: OSI Approved"]
    if names:
        return ", ".join(dict.fromkeys(names))
    lines = str(about.get("License") or "").strip().splitlines()
    return lines[0][:_LONGEST].strip() if lines and lines[0].strip() else "unknown"


def _is_of_affero(file: metadata.PackagePath) -> bool:
    """Whether a licence file is of the GNU Affero licence, by its title: the GPL names the other one in its text."""
    path = Path(str(file.locate()))
    return path.is_file() and "AFFERO" in path.read_text(encoding="utf-8", errors="replace")[:_TITLE]


def _required_by(distribution: metadata.Distribution) -> set[str]:
    """Names, in any extra."""
    matches = [_NAME.match(text) for text in distribution.requires or []]
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in matches if match}
