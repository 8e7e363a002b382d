"""Who may drive the local services: whoever can read this user's files, and no other user of the machine.

Writes   <data>/services/ray-token     the token with which Ray's head takes jobs and shows its dashboard
         <data>/services/prefect-key   such as `uniaudio:5f…`, with which Prefect's server answers; its page asks for it
         ./prefect.toml                address and key of the server, where `prefect` reads them: in the folder in which `uniaudio up` was typed
"""

import base64
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from uniaudio_schemas.store.cache import private_folder

PREFECT_FILE = Path("prefect.toml")
MARK = "# Written by `uniaudio up` for `prefect` in this folder, and removed by `uniaudio down`. It holds a key: do not share it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The keys of the services of one data folder."""

    folder: Path
    """Folder of the services."""

    @property
    def ray_token(self) -> Path:
        return self.folder / "ray-token"

    @property
    def prefect_key(self) -> Path:
        return self.folder / "prefect-key"

    def make(self) -> None:
        """The folder, which only this user can enter, and the keys that are not there. StoreError where the folder is another user's."""
        private_folder(self.folder)
        for path, value in (
            (self.ray_token, secrets.token_hex(32)),
            (self.prefect_key, f"uniaudio:{secrets.token_hex(16)}"),
        ):
            if not path.exists():
                _write_private(path, value)

    def environment(self, *, is_local: bool) -> dict[str, str]:
        """Variables by which Ray and Prefect, servers and clients alike, have the keys. `is_local`: Ray's head is that of `uniaudio up`."""
        return {**self._of_ray(is_local=is_local), **self._of_prefect()}

    def headers(self) -> dict[str, str]:
        """HTTP headers of a request to the Prefect server."""
        if not self.prefect_key.exists():
            return {}
        return {"Authorization": "Basic " + base64.b64encode(self._key().encode()).decode()}

    def tell_prefect(self, url: str) -> bool:
        """Write `prefect.toml` into the working folder; False where there is one of somebody else's, or none can be written."""
        if PREFECT_FILE.exists() and not is_ours(PREFECT_FILE):
            return False
        try:
            PREFECT_FILE.unlink(missing_ok=True)
            _write_private(PREFECT_FILE, f'{MARK}\n[api]\nurl = "{url}/api"\nauth_string = "{self._key()}"\n')
        except OSError:
            return False
        return True

    def forget_prefect(self) -> None:
        """Remove `prefect.toml` from the working folder, where it tells of these services."""
        if is_ours(PREFECT_FILE) and self.prefect_key.exists() and self._key() in PREFECT_FILE.read_text():
            PREFECT_FILE.unlink()

    def _key(self) -> str:
        return self.prefect_key.read_text().strip()

    def _of_prefect(self) -> dict[str, str]:
        if not self.prefect_key.exists():
            return {}
        return {"PREFECT_API_AUTH_STRING": self._key(), "PREFECT_SERVER_API_AUTH_STRING": self._key()}

    def _of_ray(self, *, is_local: bool) -> dict[str, str]:
        mode = os.environ.get("RAY_AUTH_MODE", "")
        has_own = mode == "disabled" or bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))
        if not is_local or (mode and has_own) or not self.ray_token.exists():
            # Without a mode it would depend on a file in the home folder.
            return {"RAY_AUTH_MODE": mode or "disabled"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.ray_token)}


def make_data_folder(folder: Path) -> bool:
    """Make the folder of all data, private where it is new. Returns whether other users of the machine can read it: one that is there is left as
    its owner made it."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    return bool(folder.stat().st_mode & (stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH))


def is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text(errors="replace").startswith(MARK)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)
