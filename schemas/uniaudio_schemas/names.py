"""Names that become files: no path part, nothing hidden, nothing that leaves the store's folder."""

import re

from uniaudio_schemas.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,127}")


def check_name(what: str, name: str) -> str:
    """The name itself; UsageError where it could not be a file name of ours."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(f"`{what}` must be a plain name of letters, digits, `.`, `_`, `=` and `-`, but is {name!r}.")
    return name
