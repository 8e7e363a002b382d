"""The programs of other codecs: which there are, where they lie, and how one is run. Light: no torch."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from uniaudio_schemas.errors import DataError

CODERS = {
    "opus": ("opus-tools", ("opusenc", "opusdec")),
    "codec2": ("codec2", ("c2enc", "c2dec")),
    "speex": ("speex", ("speexenc", "speexdec")),
}
"""Name -> Debian's package, and the programs in it."""
TIMEOUT_S = 60
"""Time limit of one program on one clip. A run usually takes one second."""


class Programs:
    """Finds programs: installed, or in `usr/bin` below `folder`, with the libraries beside them."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)

    def find(self, name: str) -> str | None:
        """The path of a program, or None where it is not there."""
        if self.folder is not None and (unpacked := self.folder / "usr" / "bin" / name).is_file():
            return str(unpacked)
        return shutil.which(name)

    def run(self, command: Sequence[str | Path]) -> None:
        """`DataError` with the program's last line where it fails."""
        program = self.find(str(command[0]))
        try:
            process = subprocess.run(
                [program or str(command[0]), *map(str, command[1:])],
                env=self._environment(),
                capture_output=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(f"{command[0]}: no end after {TIMEOUT_S} s") from error
        if process.returncode:
            lines = process.stderr.decode(errors="replace").split("\n")
            raise DataError(f"{command[0]}: exit code {process.returncode}: {' '.join(lines).strip()[-200:]}")

    def _environment(self) -> dict[str, str]:
        if self.folder is None:
            return dict(os.environ)
        libraries = sorted({str(path.parent) for path in self.folder.glob("usr/lib/**/*.so*")})
        before = os.environ.get("LD_LIBRARY_PATH")
        return {**os.environ, "LD_LIBRARY_PATH": ":".join([*libraries, *([before] if before else [])])}


def why_missing(name: str, programs: Programs) -> str:
    """Empty where both programs of a coder are there."""
    package, names = CODERS[name]
    if all(programs.find(program) for program in names):
        return ""
    return f"{' and '.join(names)} not found: `apt install {package}`"
