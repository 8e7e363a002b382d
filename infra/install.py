"""Make the project's environment in `.venv`: fast with uv, pinned by `infra/constraints.txt`, with pip's own wheel folders respected.

    python3 infra/install.py [EXTRA]         # EXTRA: dev (default), all, or any extra of pyproject.toml
    LATEST=1 python3 infra/install.py        # the newest versions that pyproject.toml allows, whatever was tried together

pip may be configured with a folder of wheels (`find-links`), for instance with torch's CPU build; uv does not read pip's configuration,
so the folder is asked of pip and handed on. PESQ has no wheel: it is installed where a C compiler is, and scores name its absence where none is.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
UV = "uv==0.13.9"
OLDEST, TOO_NEW = (3, 11), (3, 14)
SIGN_OF_LIFE_S = 8.0


def main() -> int:
    extra = sys.argv[1] if len(sys.argv) > 1 else "dev"
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        print(f"uniaudio needs Python 3.11 to 3.13, but this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    is_latest = bool(os.environ.get("LATEST"))
    wanted = f"{extra} {'latest' if is_latest else _fingerprint()}"
    if STAMP.exists() and STAMP.read_text() == wanted:
        return 0
    print(f"making the environment in {VENV} (about 30 s once the wheels are cached)", flush=True)
    threading.Thread(target=_sign_of_life, daemon=True).start()
    if not PYTHON.exists():
        try:
            venv.create(VENV, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(
                f"no virtual environment could be made ({error}); on Debian: apt-get install python3-venv",
                file=sys.stderr,
            )
            return 2
    constraints = ["--upgrade"] if is_latest else ["-c", str(ROOT / "infra" / "constraints.txt")]
    can_compile = _can_compile()
    if not can_compile:
        print("no C compiler or no Python headers: PESQ is left out, and scores will say so", flush=True)
    _install([*constraints, "-e", f"{ROOT}[{extra},pesq]" if can_compile else f"{ROOT}[{extra}]"])
    STAMP.write_text(wanted)
    return 0


def _sign_of_life() -> None:
    """Neither pip nor uv says anything while it works quietly."""
    begin = time.monotonic()
    while True:
        time.sleep(SIGN_OF_LIFE_S)
        print(f"making the environment: {time.monotonic() - begin:.0f} s", flush=True)


def _install(arguments: list[str]) -> None:
    """With uv or, where uv cannot be had or fails, with plain pip."""
    pip = [str(PYTHON), "-m", "pip"]
    if subprocess.run([*pip, "install", "-q", UV], check=False).returncode == 0:
        # pip compiles to bytecode by itself; without it every first start of a program takes twice as long.
        command = [str(VENV / "bin" / "uv"), "pip", "install", "-q", "--compile-bytecode", "--python", str(PYTHON)]
        for folder in _find_links(pip):
            command += ["--find-links", folder]
        # pip trusts the system's certificates by its configuration, which uv does not read.
        environment = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true", **os.environ}
        if subprocess.run([*command, *arguments], check=False, env=environment).returncode == 0:
            return
        print("uv could not install it; trying pip, which takes longer", flush=True)
    subprocess.run([*pip, "install", "-q", *arguments], check=True)


def _find_links(pip: list[str]) -> list[str]:
    asked = subprocess.run([*pip, "config", "get", "global.find-links"], capture_output=True, text=True, check=False)
    folders = f"{os.environ.get('PIP_FIND_LINKS', '')} {asked.stdout}".split()
    return sorted({folder for folder in folders if Path(folder).is_dir()})


def _can_compile() -> bool:
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return shutil.which("gcc") is not None and headers.exists()


def _fingerprint() -> str:
    import hashlib

    files = (ROOT / "pyproject.toml", ROOT / "infra" / "constraints.txt", Path(__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        print(
            f"the environment could not be made: `{' '.join(map(str, error.cmd[:4]))} …` exited with {error.returncode}",
            file=sys.stderr,
        )
        sys.exit(2)
