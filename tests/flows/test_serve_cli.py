"""`uniaudio serve` says what is wrong with its settings before anything is loaded, and becomes the service else."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from uniaudio_flows import serve_cli
from uniaudio_pipelines.checkpoint_to_service.settings import Limits, Service, service_of

from uniaudio import cli


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """The services that would have been started."""
    services: list[Service] = []

    def execv(program: str, command: list[str]) -> Any:
        assert (program, command[1:4]) == (
            sys.executable,
            ["-m", "uniaudio_pipelines.checkpoint_to_service", "--service"],
        )
        services.append(service_of(command[4].encode()))
        raise KeyboardInterrupt

    monkeypatch.setattr("os.execv", execv)
    return services


def test_options_and_settings_become_a_service(started: list[Service], tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    options = ["--host", "0.0.0.0", "--port", "9000", "--key-file", str(key)]
    settings = ["--set", "num_rows=4", "--set", "compiles=true", "--set", "limits.input_s=30"]
    assert cli.main(["serve", "models/mine", *options, *settings]) == 130
    [service] = started
    assert service == Service(
        model="models/mine",
        host="0.0.0.0",
        port=9000,
        key_file=str(key),
        num_rows=4,
        compiles=True,
        limits=Limits(input_s=30),
    )
    assert "secret" not in json.dumps(service.to_plain())
    assert service.read_key() == "secret"


def test_the_model_of_the_project_is_served_where_no_store_is_and_none_is_named(
    started: list[Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("UNIAUDIO_MODEL", "UNIAUDIO_STORE", "UNIAUDIO_DATA"):
        monkeypatch.delenv(name, raising=False)
    store, shipped = tmp_path / "data" / "store", tmp_path / "starter"
    monkeypatch.setattr(serve_cli, "shipped_model", lambda: shipped)
    assert cli.main(["serve"]) == 130
    store.mkdir(parents=True)
    assert cli.main(["serve"]) == 130
    assert cli.main(["serve", "models/mine"]) == 130
    store.rmdir()
    monkeypatch.setattr(serve_cli, "shipped_model", lambda: None)
    assert cli.main(["serve"]) == 130
    assert [service.model for service in started] == [str(shipped), str(store), "models/mine", str(store)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "can be reached by others: `key_file` must name a file with a key"),
        (["--host", "example.org"], "can be reached by others"),
        (["--key-file", "nowhere"], "cannot be read"),
        (["--set", "colour=red"], "colour"),
        (["--set", "limits.waiting=0"], "`waiting` must be above 0"),
        (["--set", "num_rows"], "must be NAME=VALUE"),
        (["--set", "model.x=1"], "`model.x` is no field"),
        (["--set", "limits=1", "--set", "limits.waiting=2"], "`limits.waiting` is no field"),
        (["--set", "reload_s=-1"], "`reload_s` must be 0 or more"),
        (["--set", "voices=nowhere"], "`voices` must be a folder"),
        (["--port", "70000"], "`port` must lie in 0 … 65535"),
    ],
)
def test_wrong_settings_are_named(
    started: list[Service], capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(["serve", "models/mine", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_wants_no_key(started: list[Service], host: str) -> None:
    assert cli.main(["serve", "models/mine", "--host", host]) == 130
    assert started[0].read_key() == ""


def test_a_key_that_is_no_text_is_named(
    started: list[Service], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    assert cli.main(["serve", "models/mine", "--key-file", str(tmp_path / "key")]) == 2
    assert "must be a text in UTF-8" in capsys.readouterr().err
    assert not started
