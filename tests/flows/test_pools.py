"""Deployments for pools of three types, checked by Prefect's own models. `test_seen.py` has a real server take them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from prefect.utilities.templating import apply_values

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "flows/uniaudio_flows/prefect.yaml"
TEMPLATE = json.loads((ROOT / "infra/prefect/kubernetes.json").read_text(encoding="utf-8"))
AUTOMATION = ROOT / "infra/automations/notify-on-failure.yaml"
POOLS = ("local", "docker", "kubernetes")


def deployments() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]
    return found


def test_the_file_is_one_of_prefects() -> None:
    from prefect.cli.deploy._models import PrefectYamlModel

    parsed = PrefectYamlModel.model_validate(yaml.safe_load(FILE.read_text()))
    assert len(parsed.deployments) == 36


def test_each_flow_is_deployed_once_to_each_pool_with_the_tag_of_what_it_makes() -> None:
    places = Counter((each["entrypoint"], each["work_pool"]["name"], each["name"]) for each in deployments())
    assert set(places.values()) == {1}
    assert Counter(name for _, _, name in places) == dict.fromkeys(POOLS, 12)
    assert all(pool == name for _, pool, name in places)
    assert all(each["tags"] and each["concurrency_limit"] == 1 for each in deployments())


def rendered(each: dict[str, Any]) -> dict[str, Any]:
    """The job that the Kubernetes worker would make of a deployment, as it fills the pool's template in."""
    defaults = {
        name: about["default"] for name, about in TEMPLATE["variables"]["properties"].items() if "default" in about
    }
    values = {
        **defaults,
        **each["work_pool"]["job_variables"],
        "command": ["prefect", "flow-run", "execute"],
        "name": "run",
    }
    made: dict[str, Any] = apply_values(TEMPLATE["job_configuration"], values)
    return made


def test_the_kubernetes_job_mounts_what_ray_mounts_and_has_its_token() -> None:
    assert "infra/prefect/kubernetes.json" in FILE.read_text()
    (each,) = (one for one in deployments() if one["name"] == "kubernetes" and "everything" in one["entrypoint"])
    assert set(each["work_pool"]["job_variables"]) <= set(TEMPLATE["variables"]["properties"])
    made = rendered(each)
    assert "{{" not in json.dumps(made)
    pod = made["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    documents = [one for one in yaml.safe_load_all((ROOT / "infra/ray/kuberay.yaml").read_text()) if one]
    cluster = json.dumps(documents)
    assert f'"claimName": "{volumes["data"]["persistentVolumeClaim"]["claimName"]}"' in cluster
    assert f'"name": "{volumes["ray"]["secret"]["secretName"]}", "key": "token"' in cluster
    assert container["image"] == "uniaudio" and container["args"][0] == "prefect"


def test_the_containers_run_beside_composes_services() -> None:
    (each,) = (one for one in deployments() if one["name"] == "docker" and "everything" in one["entrypoint"])
    variables = each["work_pool"]["job_variables"]
    compose = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())
    assert variables["env"]["RAY_ADDRESS"] == compose["services"]["worker"]["environment"]["RAY_ADDRESS"]
    # Compose calls its project after the folder of its file.
    assert variables["networks"] == ["infra_default"]
    volumes = [volume.partition(":")[0] for volume in variables["volumes"] if not volume.startswith("{{")]
    assert [name.removeprefix("infra_") for name in volumes] == ["data"] and "data" in compose["volumes"]
    dockerfile = (ROOT / "infra/images/Dockerfile").read_text()
    assert f"WORKDIR {each['pull'][0]['prefect.deployments.steps.set_working_directory']['directory']}" in dockerfile


def test_the_automation_is_one_of_prefects() -> None:
    from prefect.events.schemas.automations import AutomationCore

    made = AutomationCore.model_validate(yaml.safe_load(AUTOMATION.read_text()))
    assert made.trigger.expect == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}  # type: ignore[union-attr]
