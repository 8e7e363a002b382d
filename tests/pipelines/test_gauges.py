"""What an edge tells as metrics, and the files that read them. `tests/flows/test_seen.py` reads them at the port of a node that works."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from uniaudio_pipelines.running.gauges import HELP, shares

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "infra/dashboards/uniaudio.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIED = set(re.findall(r"ray_uniaudio_\w+", json.dumps(DASHBOARD)))


def test_shares_follow_from_what_workers_say_and_from_nothing_there_is_none() -> None:
    work = {"encoded_samples": 125.0, "given_samples": 100.0, "encode_seconds": 9.0, "wall_seconds": 10.0}
    assert shares(work) == pytest.approx({"padding_share": 0.2, "busy_share": 0.9})
    assert shares({}) == shares({"encoded_samples": 0.0, "given_samples": 0.0, "wall_seconds": 0.0}) == {}
    assert list(shares({"encoded_samples": 5.0, "given_samples": 5.0})) == ["padding_share"]


def test_without_ray_nothing_is_told() -> None:
    code = (
        "import sys; from uniaudio_pipelines.running.gauges import Gauges; "
        "Gauges('e', 'p').tell({'rows': 1.0}, {'odd': 1}); assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_dashboard_queries_every_metric_and_no_other() -> None:
    assert {f"ray_uniaudio_{name}" for name in HELP} == QUERIED
    assert all('edge=~"$edge"' in query for query in QUERIES)
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places) and all(panel["description"] for panel in DASHBOARD["panels"])


def test_prometheus_asks_rays_dashboard_for_the_nodes() -> None:
    (scrape,) = yaml.safe_load((ROOT / "infra/dashboards/prometheus.yaml").read_text())["scrape_configs"]
    assert [found["url"] for found in scrape["http_sd_configs"]] == ["http://127.0.0.1:8265/api/prometheus/sd"]


@pytest.mark.slow
def test_the_dashboard_is_one_of_grafanas_own_model() -> None:
    """Read and written again by the vendor's classes it is the same: there is no field that they do not know, and none of another type."""
    model = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="pip install grafana-foundation-sdk")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins.register_default_plugins()
    again = json.loads(encoder.JSONEncoder().encode(model.Dashboard.from_json(DASHBOARD)))
    assert _common(again, DASHBOARD) == DASHBOARD


def _common(written: Any, given: Any) -> Any:
    """What was given, as it was written; defaults that are written besides are left out."""
    if isinstance(given, dict) and isinstance(written, dict):
        return {name: _common(written[name], value) for name, value in given.items() if name in written}
    if isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        return [_common(*pair) for pair in zip(written, given, strict=True)]
    return written


def test_ray_takes_every_help() -> None:
    assert all(text.isascii() for text in HELP.values())
