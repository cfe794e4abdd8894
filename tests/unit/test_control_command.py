"""`tidegate control`: what it needs to find, and how it says that it does not."""

import argparse
import json

import pytest

from controller.commands.control import add_arguments, find_target, parse_bounds
from controller.errors import BadInputError


def test_the_flags_have_the_objective_of_the_demo_as_default(tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(["--run-folder", str(tmp_path)])
    assert (arguments.platform, arguments.mode) == ("local", "apply")
    assert (arguments.slo_quantile, arguments.slo_s) == (0.95, 1.0)


def test_bounds_are_pairs_by_knob():
    assert parse_bounds(None) == {}
    assert parse_bounds('{"max_scale": [1, 4]}') == {"max_scale": (1.0, 4.0)}


@pytest.mark.parametrize("text", ["", "[]", '{"max_scale": 4}', '{"max_scale": [1]}', '{"max_scale": ["a", 2]}'])
def test_bounds_of_another_form_are_refused_with_an_example(text):
    with pytest.raises(BadInputError, match="--bounds: needs an object such as"):
        parse_bounds(text)


def test_a_folder_without_an_activator_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(BadInputError, match=r"no activator answers .* start one with: python -m"):
        find_target(tmp_path, None)


@pytest.mark.parametrize("text", ["{", "[]", '{"admin": "127.0.0.1:1"}', '{"admin": "127.0.0.1:1", "token": "x"}'])
def test_a_stale_or_broken_record_of_an_activator_is_refused(tmp_path, text):
    (tmp_path / "activator.json").write_text(text)
    with pytest.raises(BadInputError, match="no activator answers"):
        find_target(tmp_path, None)


@pytest.mark.parametrize(
    "environment", [{}, {"TIDEGATE_CONTROLLER_URL": "http://127.0.0.1:9"}, {"TIDEGATE_CONTROLLER_URL": "nonsense"}]
)
def test_servers_that_were_not_told_where_to_report_are_named(tmp_path, monkeypatch, environment):
    state = {"config": {}, "started_at_s": 1.0}
    monkeypatch.setattr("controller.commands.control._ask_state", lambda _: state)
    (tmp_path / "activator-settings.json").write_text(json.dumps({"environment": environment}))
    with pytest.raises(BadInputError, match="the servers do not know this loop"):
        find_target(tmp_path, None)


def test_a_running_activator_is_found_with_its_setting_and_the_address_for_heartbeats(tmp_path, monkeypatch):
    state = {"config": {"max_scale": 2}, "started_at_s": 5.0}
    monkeypatch.setattr("controller.commands.control._ask_state", lambda _: state)
    told = {"TIDEGATE_CONTROLLER_URL": "http://127.0.0.1:9000", "TIDEGATE_CONTROLLER_TOKEN": "s"}
    document = {"environment": told, "shape": {"cores": 1}, "server_cpus": [4095]}
    (tmp_path / "activator-settings.json").write_text(json.dumps(document))
    target = find_target(tmp_path, None)
    assert (target.host, target.port, target.secret, target.started_at_s) == ("127.0.0.1", 9000, "s", 5.0)
    assert target.config.max_scale == 2
    assert target.settings.shape.cores == 1
