"""What `infra/` says to Docker, to Ray and to Kubernetes, as far as it can be checked without them."""

import ast
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
COMPOSE = INFRA / "compose.yaml"


def load(path: str) -> Any:
    return yaml.safe_load((INFRA / path).read_text())


def ray_commands() -> Iterator[str]:
    cluster = load("ray/cluster.yaml")
    yield from cluster["head_start_ray_commands"]
    yield from cluster["worker_start_ray_commands"]
    yield load("compose.yaml")["services"]["ray"]["command"]


def test_ray_takes_every_start_command() -> None:
    from ray.scripts.scripts import start

    commands = [shlex.split(command) for command in ray_commands()]
    starts = [command for command in commands if command[:2] == ["ray", "start"]]
    assert len(starts) == 3
    for command in starts:
        start.make_context("start", command[2:])


def test_ray_up_is_not_blocked_by_its_own_commands_and_its_head_scales() -> None:
    cluster = load("ray/cluster.yaml")
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    assert not any("--block" in command for command in commands)
    assert "--autoscaling-config" in cluster["head_start_ray_commands"][-1]


def test_ray_takes_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(load("ray/cluster.yaml")))


def test_every_node_sees_store_and_source() -> None:
    services = load("compose.yaml")["services"]
    assert services["ray"]["volumes"] == services["worker"]["volumes"]
    assert [volume.split(":")[-2] for volume in services["ray"]["volumes"][1:]] == ["/data/source"]
    for pod in pods():
        (container,) = pod["containers"]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    assert "--volume=/data:/data" in load("ray/cluster.yaml")["docker"]["run_options"]


def pods() -> list[dict[str, Any]]:
    spec = load("ray/kuberay.yaml")["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


OF_THE_SPEC = {"rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"}
OF_A_GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def test_kubernetes_scales_its_workers_from_none_to_what_is_asked() -> None:
    """Names and types as the CRD of `ray.io/v1` has them."""
    manifest = load("ray/kuberay.yaml")
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster")
    spec = manifest["spec"]
    assert set(spec) == OF_THE_SPEC
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["upscalingMode"] in ("Default", "Aggressive", "Conservative")
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert len({group["groupName"] for group in spec["workerGroupSpecs"]}) == 2
    for group in spec["workerGroupSpecs"]:
        assert set(group) == OF_A_GROUP
        assert 0 == group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        # The autoscaler counts what a pod asks for.
        assert float(container["resources"]["requests"]["cpu"]) >= 1
        assert container["env"] == spec["autoscalerOptions"]["env"]
    assert all(
        isinstance(value, str) for group in spec["workerGroupSpecs"] for value in group["rayStartParams"].values()
    )


def test_all_run_the_ray_that_is_pinned() -> None:
    pinned = re.search(r"^ray(?:\[.*\])?==(\S+)", (INFRA / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert load("ray/kuberay.yaml")["spec"]["rayVersion"] == pinned[1]


def test_the_image_prepares_the_models_that_its_environment_names() -> None:
    text = (INFRA / "images" / "Dockerfile").read_text().replace("\\\n", "")
    (program,) = re.findall(r'RUN python -c "(.*?)"', text)
    called: list[Any] = []
    from uniaudio_flows import annotator_models

    body = ast.parse(program.strip())
    call = body.body[-1]
    assert isinstance(call, ast.Expr)
    scope: dict[str, Any] = {}
    exec(compile(ast.Module(body.body[:-1], []), "Dockerfile", "exec"), scope)  # noqa: S102
    assert scope["fetch_models"] is annotator_models.fetch_models
    scope["fetch_models"] = lambda *arguments: called.append(arguments)
    exec(compile(ast.Module([call], []), "Dockerfile", "exec"), scope)  # noqa: S102
    ((folder, log),) = called
    assert log is print
    assert f"UNIAUDIO_MODELS={folder}" in text


def compose_command() -> list[str]:
    """Docker's plugin, or the program of its own."""
    if shutil.which("docker"):
        found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if found.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


@pytest.mark.slow
@pytest.mark.skipif(not compose_command(), reason="docker compose is not installed")
def test_docker_takes_the_compose_file() -> None:
    def config(**environment: str) -> "subprocess.CompletedProcess[str]":
        command = [*compose_command(), "-f", str(COMPOSE), "config"]
        own = {name: value for name, value in os.environ.items() if not name.startswith(("UNIAUDIO_", "PREFECT_"))}
        return subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, check=False)

    done = config(PREFECT_DATABASE_PASSWORD="one", UNIAUDIO_SOURCE="/corpora")
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"database", "prefect", "ray", "worker"}
    assert "/corpora" in str(services["ray"]["volumes"])
    assert "set PREFECT_DATABASE_PASSWORD" in config().stderr
