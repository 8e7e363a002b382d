"""Who may drive the local services and read what they hold: this user, and no other of the machine."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from uniaudio_flows.access import Access, make_data_folder
from uniaudio_flows.settings import Settings, load_settings, service_environment

from tests.flows.conftest import Services

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
TRIES = """
import json, sys, urllib.error, urllib.request
from pathlib import Path

def answer(url, body):
    try:
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}), timeout=30)
    except urllib.error.HTTPError as error:
        return error.code
    return 200

def names(folder):
    try:
        return sorted(path.name for path in Path(folder).iterdir())
    except PermissionError:
        return "refused"

ray, prefect, *folders = sys.argv[1:]
job = {"entrypoint": "touch /tmp/uniaudio-driven-by-another"}
print(json.dumps([answer(f"{ray}/api/jobs/", job), answer(f"{prefect}/flow_runs/filter", {}), *map(names, folders)]))
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    made = Access(folder=tmp_path / "services")
    made.make()
    return made


def test_keys_are_readable_for_their_owner_alone_and_stay_the_same(access: Access) -> None:
    assert (mode(access.folder), mode(access.ray_token), mode(access.prefect_key)) == (0o700, 0o600, 0o600)
    before = access.environment(is_local=True)
    access.folder.chmod(0o755)
    access.make()
    assert access.environment(is_local=True) == before and mode(access.folder) == 0o700
    assert len({access.ray_token.read_text(), access.prefect_key.read_text()}) == 2


def test_a_new_data_folder_is_private_and_an_old_one_is_as_its_owner_made_it(tmp_path: Path) -> None:
    assert make_data_folder(tmp_path / "new" / "data") is False and mode(tmp_path / "new" / "data") == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    assert make_data_folder(tmp_path / "shared") is True and mode(tmp_path / "shared") == 0o750


def test_who_says_how_ray_knows_its_users_is_heard(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    told = access.environment(is_local=True)
    assert (told["RAY_AUTH_MODE"], told["RAY_AUTH_TOKEN_PATH"]) == ("token", str(access.ray_token))
    assert access.environment(is_local=False)["RAY_AUTH_MODE"] == "disabled"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert access.environment(is_local=True)["RAY_AUTH_MODE"] == "disabled"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/mine")
    told = access.environment(is_local=True)
    assert told["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN_PATH" not in told


def test_prefect_finds_its_server_in_this_folder_and_another_file_is_left_alone(access: Access) -> None:
    from prefect.settings.models.root import Settings as PrefectSettings

    assert access.tell_prefect("http://127.0.0.1:4300") and access.tell_prefect("http://127.0.0.1:4301")
    assert mode(Path("prefect.toml")) == 0o600
    found = PrefectSettings().api
    assert found.url == "http://127.0.0.1:4301/api" and found.auth_string
    assert found.auth_string.get_secret_value() == access.prefect_key.read_text()
    access.forget_prefect()
    assert not Path("prefect.toml").exists()
    Path("prefect.toml").write_text("[api]\n")
    assert not access.tell_prefect("http://127.0.0.1:4300")
    access.forget_prefect()
    assert Path("prefect.toml").read_text() == "[api]\n"


def test_services_have_the_keys(monkeypatch: pytest.MonkeyPatch, access: Access) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", str(access.folder.parent))
    told = service_environment(load_settings())
    assert told["PREFECT_API_AUTH_STRING"] == told["PREFECT_SERVER_API_AUTH_STRING"] == access.prefect_key.read_text()
    assert told["RAY_AUTH_TOKEN_PATH"] == str(access.ray_token)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody can enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(580)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_can_neither_submit_a_job_nor_read_the_audio(open_place: Path) -> None:
    services = Services(open_place / "data")
    make_data_folder(services.data)
    try:
        up = services.uniaudio("up")
        assert up.returncode == 0, up.stderr
        (services.data / "source").mkdir()
        ray_folder = load_settings_of(services).ray_folder
        folders = [
            str(each) for each in (services.data, services.data / "source", services.data / "services", ray_folder)
        ]
        places = [services.dashboard, services.environment["PREFECT_API_URL"], *folders]

        def tries(*who: str) -> list[object]:
            done = subprocess.run(
                [*who, str(Path(sys.executable).resolve()), "-c", TRIES, *places],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            found: list[object] = json.loads(done.stdout)
            return found

        assert tries(*AS_NOBODY) == [401, 401, *["refused"] * 4]
        assert tries()[:2] == [401, 401], "without its key no request is answered, whoever sends it"
        # Those that a schedule will start have been there from the beginning.
        runs = [run["state_type"] for run in services.api("flow_runs/filter", {})]
        assert services.jobs() == [] and set(runs) <= {"SCHEDULED"}
        command = [*AS_NOBODY, "cat", str(services.access.ray_token)]
        key = subprocess.run(command, capture_output=True, text=True, check=False)
        assert key.returncode != 0 and "Permission denied" in key.stderr
    finally:
        services.uniaudio("down")


def load_settings_of(services: Services) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIAUDIO_DATA", str(services.data))
        return load_settings()
