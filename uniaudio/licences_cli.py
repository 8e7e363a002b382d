"""`uniaudio licences`: under which licences the packages are that this installation brings, and which of them bind a service.

PACKAGE             VERSION   EXTRA        LICENCE
whisper-timestamped 1.15.9    timestamped  AGPL-3.0
    who lets others use a service that runs it must offer them its whole source; …
"""

import argparse
import json
from typing import Any

NETWORK = "AGPL"
OF_THE_NETWORK = (
    "who lets others use a service that runs it must offer them the whole source of that service; a file that it made is free of that. "
    "Leave it out (no extra but `timestamped` brings it), and the annotator `transcript` (MIT) takes its place"
)


def add_command(commands: Any) -> None:
    """Adds `licences` to `uniaudio`."""
    text = "licences of the packages that are installed for uniaudio, and which bind a service"
    licences = commands.add_parser("licences", help=text, description=text)
    licences.add_argument("--json", action="store_true", help="print JSON")
    licences.set_defaults(run=_licences)


def _licences(options: argparse.Namespace) -> int:
    from uniaudio_schemas.licences import installed_licences

    rows = installed_licences()
    if options.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    width = max(len(row["package"]) for row in rows)
    print(f"{'PACKAGE':{width}}  {'VERSION':14}LICENCE")
    for row in rows:
        print(f"{row['package']:{width}}  {row['version']:14}{row['licence']}")
    for row in rows:
        if NETWORK in row["licence"]:
            print(f"\n{row['package']} is under the {row['licence']}: {OF_THE_NETWORK}.")
    return 0
