"""Puts a model into service on Ray Serve, and takes it out again.

    with serving(Service(model="mine")) as url: …
    python -m uniaudio_pipelines.checkpoint_to_service --service '{"model": "mine", …}'      what `uniaudio serve` runs

On a cluster (`RAY_ADDRESS`) replicas are spread over its nodes; otherwise a Ray of its own starts and ends with it.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from uniaudio_schemas.errors import UsageError

from uniaudio_pipelines.checkpoint_to_service.settings import APPLICATION, GATEWAY, MODEL, Service
from uniaudio_pipelines.running.cluster import connect, disconnect

MOST_ONGOING = 1000
"""Requests that Ray Serve hands on at once. The gateway's own limit comes first: `/health` must pass where all rows are taken."""
_HEALTH_S = 5


def application(service: Service) -> Any:
    """The deployments of one service, bound; a `serve deploy` file may name it too."""
    from ray import serve

    from uniaudio_pipelines.checkpoint_to_service.gateway import build_app
    from uniaudio_pipelines.checkpoint_to_service.replica import Replica

    def build() -> Any:
        return build_app(service)

    gpus = {"num_gpus": 1} if service.device.startswith("cuda") else {}
    model = serve.deployment(
        name=MODEL,
        num_replicas=service.num_replicas,
        max_ongoing_requests=MOST_ONGOING,
        health_check_period_s=_HEALTH_S,
        graceful_shutdown_timeout_s=service.limits.request_s,
        ray_actor_options={"num_cpus": service.num_cpus, **gpus},
    )(Replica)
    gateway = serve.deployment(
        name=GATEWAY,
        max_ongoing_requests=MOST_ONGOING,
        health_check_period_s=_HEALTH_S,
        graceful_shutdown_timeout_s=service.limits.request_s,
        ray_actor_options={"num_cpus": 0},
    )(serve.ingress(build)())
    return gateway.bind(model.bind(service))


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The address of a service that runs until the block ends. UsageError where it cannot be started."""
    service.check_files()
    connect()
    try:
        from ray import serve

        with _in_one_sentence(service):
            serve.start(http_options={"host": service.host, "port": service.port, "request_timeout_s": None})
        try:
            with _in_one_sentence(service):
                serve.run(application(service), name=APPLICATION, route_prefix="/")
            host = f"[{service.host}]" if ":" in service.host else service.host
            yield f"http://{host}:{service.port}/"
        finally:
            _delete(service.limits.request_s)
    finally:
        disconnect()


def _delete(most_s: float) -> None:
    """Takes the application out of service; answers that are being written are ended first. Not `shutdown`: a cluster may serve others."""
    from ray import serve

    until = time.monotonic() + most_s
    while time.monotonic() < until:
        # Ray Serve waits a minute, whatever the replicas were promised.
        with suppress(TimeoutError):
            serve.delete(APPLICATION)
            return


@contextmanager
def _in_one_sentence(service: Service) -> Iterator[None]:
    """What Ray Serve tells of a start that failed, as a UsageError."""
    from ray.exceptions import RayError

    try:
        yield
    except (RuntimeError, RayError) as error:
        # Ray tells the whole trace of a replica; the exception is its last line.
        reason = str(error).strip().splitlines()[-1]
        reason = re.sub(r"^[\w.]+(Error|Exception): ", "", reason)
        raise UsageError(f"{service.model} cannot be put into service: {reason}") from error


def metrics_addresses() -> list[str]:
    """Where Prometheus reads, one a node."""
    import ray

    return [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in ray.nodes()
        if node["Alive"] and node["MetricsExportPort"]
    ]
