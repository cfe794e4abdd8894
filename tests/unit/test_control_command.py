"""`tidegate control`: what it needs to find, and how it says that it does not."""

import argparse
import json
import socket
import threading

import pytest

from controller.commands.control import add_arguments, find_target, parse_bounds, run
from controller.errors import BadInputError

TOLD = {"TIDEGATE_CONTROLLER_URL": "http://127.0.0.1:9000", "TIDEGATE_CONTROLLER_TOKEN": "s"}


@pytest.fixture
def known_activator(tmp_path, monkeypatch):
    """Return what puts an activator with this state and these settings into the folder."""

    def put(state, document):
        monkeypatch.setattr("controller.commands.control._ask_state", lambda _: state)
        (tmp_path / "activator-settings.json").write_text(json.dumps(document))

    return put


def test_the_flags_have_the_objective_of_the_demo_as_default(tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(["--run-folder", str(tmp_path)])
    assert (arguments.platform, arguments.mode) == ("local", "apply")
    assert (arguments.slo_quantile, arguments.slo_s) == (0.95, 1.0)


def test_bounds_are_pairs_by_knob():
    assert parse_bounds(None) == {}
    assert parse_bounds('{"max_scale": [1, 4]}') == {"max_scale": (1.0, 4.0)}


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"max_scale": 4}', '{"max_scale": [1]}', '{"max_scale": ["a", 2]}', DEEP]
    + [f'{{"max_scale": [1, 1{"0" * digits}]}}' for digits in (400, 5000)],
)
def test_bounds_of_another_form_are_refused_with_an_example(text):
    with pytest.raises(BadInputError, match="--bounds: needs an object such as"):
        parse_bounds(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"foo": [1, 2]}', "unknown setting 'foo'; known are"),
        ('{"max_queue_length": [1, 2]}', "unknown setting 'max_queue_length'"),
        ('{"max_scale": [4, 2]}', "max_scale needs two finite numbers, the lowest first; got 4 and 2"),
        ('{"min_scale": [Infinity, Infinity]}', "min_scale needs two finite numbers"),
        ('{"target": [NaN, 1]}', "target needs two finite numbers"),
    ],
)
def test_bounds_that_no_search_could_use_are_refused(text, message):
    with pytest.raises(BadInputError, match=f"--bounds: {message}"):
        parse_bounds(text)


def test_bounds_with_nothing_possible_inside_are_refused_before_the_loop_runs(tmp_path, known_activator):
    known_activator({"config": {}, "started_at_s": 1.0}, {"environment": TOLD})
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(["--run-folder", str(tmp_path), "--bounds", '{"workers": [7, 9]}'])
    with pytest.raises(BadInputError, match="--bounds: workers from 7 to 9: 1 to 1 is possible here"):
        run(arguments)


@pytest.mark.parametrize(
    ("state", "document", "message"),
    [
        ({"started_at_s": 1.0}, {"environment": "TOLD"}, "activator: config: needs an object"),
        ({"config": {}}, {"environment": "TOLD"}, "activator: the key 'started_at_s' is missing"),
        ({"config": {}, "started_at_s": "x"}, {"environment": "TOLD"}, "started_at_s needs a number"),
        ({"config": {}, "started_at_s": 1.0}, {"environment": 5}, "environment: needs a JSON object"),
        (
            {"config": {}, "started_at_s": 1.0},
            {"environment": {"TIDEGATE_CONTROLLER_URL": "http://h:99999", "TIDEGATE_CONTROLLER_TOKEN": "s"}},
            "the servers do not know this loop",
        ),
        (
            {"config": {}, "started_at_s": 1.0},
            {"environment": {"TIDEGATE_CONTROLLER_URL": 7, "TIDEGATE_CONTROLLER_TOKEN": "s"}},
            "environment: 'TIDEGATE_CONTROLLER_URL' needs a text, got 7",
        ),
    ],
)
def test_a_state_or_settings_of_another_form_are_refused(tmp_path, known_activator, state, document, message):
    known_activator(state, {"environment": TOLD} if document["environment"] == "TOLD" else document)
    with pytest.raises(BadInputError, match=message):
        find_target(tmp_path, None)


def test_settings_nested_too_deeply_are_refused(tmp_path, known_activator):
    known_activator({"config": {}, "started_at_s": 1.0}, {})
    (tmp_path / "activator-settings.json").write_text(DEEP)
    with pytest.raises(BadInputError, match="cannot be read"):
        find_target(tmp_path, None)


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-x\r\n", b"", *(b"HTTP/1.0 200 OK\r\n\r\n" + body for body in (b"[]", b"x", DEEP.encode()))]
)
def test_whatever_else_listens_at_the_admin_address_is_no_activator(tmp_path, said):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        admin = f"127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "activator.json").write_text(json.dumps({"admin": admin, "token": "x"}))
        with pytest.raises(BadInputError, match=r"^[^\n]*no activator answers[^\n]*$"):
            find_target(tmp_path, None)
        thread.join()


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
