"""The Ray head of `uniaudio up` takes further nodes where it is told to, from whoever has the token."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from uniaudio_flows import services as services_module
from uniaudio_flows.access import Access
from uniaudio_flows.settings import load_settings
from uniaudio_schemas.errors import UsageError

from tests.flows.conftest import Services

HOST, NODE = "127.0.0.2", "127.0.0.3"
WHERE = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
where = ray.remote(num_cpus=1, resources={"node:%s": 0.01})(ray.util.get_node_ip_address)
print(ray.get(where.remote(), timeout=60))
"""


def test_a_head_that_is_open_to_others_wants_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("UNIAUDIO_RAY_HOST", HOST)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(
        UsageError, match=r"`UNIAUDIO_RAY_HOST` opens the Ray head at 127\.0\.0\.2 to others: `RAY_AUTH_MODE` must be"
    ):
        services_module._ray_command(load_settings())
    monkeypatch.delenv("RAY_AUTH_MODE")
    Access(folder=load_settings().services).make()
    assert f"--node-ip-address={HOST}" in services_module._ray_command(load_settings())
    assert services_module._ray_environment(load_settings()) == {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    monkeypatch.delenv("UNIAUDIO_RAY_HOST")
    assert "--node-ip-address=127.0.0.1" in services_module._ray_command(load_settings())
    assert services_module._ray_environment(load_settings()) == {}


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(580)
def test_a_second_node_joins_by_the_command_that_up_prints(tmp_path: Path) -> None:
    services = Services(tmp_path / "data")
    services.data.mkdir()
    services.environment["UNIAUDIO_RAY_HOST"] = HOST
    try:
        up = services.uniaudio("up")
        assert up.returncode == 0, up.stderr
        (line,) = [line for line in up.stdout.splitlines() if "another node" in line]
        command = line.split("another node")[1].split()
        assert command[:2] == ["ray", "start"]
        with_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(services.access.ray_token)}
        assert with_token["RAY_AUTH_TOKEN_PATH"] in up.stdout
        services.environment |= with_token
        address = command[2].removeprefix("--address=")
        ray = str(Path(sys.executable).with_name("ray"))
        joined = [ray, *command[1:], "--block", f"--node-ip-address={NODE}", "--num-cpus=1"]
        with (tmp_path / "node.log").open("wb") as log:
            node = subprocess.Popen(joined, env=services.environment, stdout=log, stderr=log)
        try:
            code = WHERE % NODE
            services.await_(lambda: b"runtime started" in (tmp_path / "node.log").read_bytes(), timeout_s=120)
            assert services.run([sys.executable, "-c", code, address]).stdout.split()[-1:] == [NODE]
            environment = {**services.environment, "RAY_AUTH_MODE": "disabled"}
            stranger = subprocess.run(
                [sys.executable, "-c", code, address], env=environment, capture_output=True, text=True, check=False
            )
            assert NODE not in stranger.stdout
        finally:
            family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
            for process in family:
                process.kill()
            node.wait()
    finally:
        services.uniaudio("down")
