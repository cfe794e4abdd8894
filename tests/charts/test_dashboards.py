"""Dashboards and alerts name series that exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from controller.reconcilers.operator_metrics import OperatorMetrics
from inference_service.counters import Counters
from inference_service.hot_settings import initial_hot_settings
from inference_service.metrics import render_metrics
from inference_service.settings import Settings

pytestmark = pytest.mark.needs("helm")

DASHBOARDS = sorted((Path(__file__).parents[2] / "charts" / "controller" / "dashboards").glob("*.json"))
SERIES = re.compile(r"\btidegate_[a-z_]+")
PARTS = re.compile(r"_(bucket|sum|count)$")


def exposed():
    """Names that the server and the operator show, without the endings of a histogram's parts."""
    server = render_metrics(Counters(), initial_hot_settings(Settings(model="demo")), cpu_s=0.0).decode()
    families = re.findall(r"^# TYPE (\S+)", server + OperatorMetrics().text(), flags=re.MULTILINE)
    return set(families)


def named(expressions):
    return {PARTS.sub("", name) for expression in expressions for name in SERIES.findall(expression)}


def expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_series_that_exist(path):
    assert named(expressions(json.loads(path.read_text()))) - exposed() == set()


def test_every_series_of_the_servers_is_on_a_dashboard():
    shown = {name for path in DASHBOARDS for name in named(expressions(json.loads(path.read_text())))}
    assert exposed() - shown == set()


def test_knative_is_shown_under_its_old_names_and_its_new_ones():
    [text] = [path.read_text() for path in DASHBOARDS if path.stem == "cold-starts-and-revisions"]
    for panel in json.loads(text)["panels"]:
        queries = " ".join(target["expr"] for target in panel.get("targets", []))
        if "kn_" in queries:
            assert re.search(r"\b(autoscaler|activator|revision)_[a-z]+_", queries), panel["title"]


def test_alerts_watch_series_that_exist(helm, only):
    rule = only(helm.render("controller", 'prometheusRule={"enabled": true}'), "PrometheusRule")
    alerts = rule["spec"]["groups"][0]["rules"]
    assert named(alert["expr"] for alert in alerts) - exposed() == set()
    assert all(alert["annotations"].keys() == {"summary", "description"} for alert in alerts)


def test_dashboards_carry_the_label_that_grafana_looks_for(helm):
    flag = 'dashboards={"enabled": true, "labelKey": "grafana", "labelValue": "yes"}'
    found = [each for each in helm.render("controller", flag) if each["kind"] == "ConfigMap"]
    assert len(found) == len(DASHBOARDS)
    for each in found:
        assert each["metadata"]["labels"]["grafana"] == "yes"
        [text] = each["data"].values()
        assert yaml.safe_load(text)["title"]


@pytest.mark.needs("prometheus")
def test_prometheus_understands_every_query(helm, only, tmp_path):
    groups = only(helm.render("controller", 'prometheusRule={"enabled": true}'), "PrometheusRule")["spec"]["groups"]
    for path in DASHBOARDS:
        queries = [
            each.replace("$__rate_interval", "5m").replace("$__range", "30m")
            for each in expressions(json.loads(path.read_text()))
        ]
        rules = [{"record": f"query:{number}", "expr": each} for number, each in enumerate(queries)]
        groups = [*groups, {"name": path.name, "rules": rules}]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    done = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
