import json
import math

import pytest

from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import BadInputError
from controller.platforms.local.activator_settings import ActivatorSettings, read_settings, settings_from_document
from controller.platforms.local.server_environment import server_environment, write_hot_settings


def test_settings_survive_the_way_through_json(tmp_path):
    settings = ActivatorSettings(
        run_folder=tmp_path,
        command=("server", "--model", "fake"),
        config=ServingConfig(max_batch_size=3),
        autoscaler=AutoscalerSettings(window_s=6),
        shape=InstanceShape(cores=math.inf, memory_mb=300),
        server_cpus=frozenset({0}),
        environment={"A": "b"},
    )

    document = json.loads(json.dumps(settings.to_document()))

    assert settings_from_document(document, run_folder=tmp_path, where="x") == settings


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "needs an object"),
        ({"lissten": "x"}, "unknown key 'lissten'"),
        ({"config": {"max_batch_size": 0}}, "max_batch_size"),
        ({"autoscaler": {"window": 6}}, "unknown setting 'window'"),
        ({"shape": {"vcpu": "two"}}, "vcpu needs a number"),
        ({"shape": {"routing": "knative"}}, "unknown setting 'routing'; known are vcpu"),
        ({"server_cpus": [4096]}, "no core 4096"),
        ({"server_cpus": 1}, "server_cpus needs a list"),
        ({"server_cpus": [True]}, "server_cpus needs a list"),
        ({"autoscaler": {"tick_s": 0}}, "tick_s needs a number of at least 0.01, got 0"),
        ({"autoscaler": {"window_s": -1}}, "window_s needs a number"),
        ({"autoscaler": {"max_scale_up_rate": 0.5}}, "max_scale_up_rate needs a number of at least 1"),
        ({"autoscaler": {"target_burst_capacity": None}}, "target_burst_capacity needs a number"),
        ({"autoscaler": {"target_burst_capacity": math.inf}}, "target_burst_capacity needs a number"),
        ({"autoscaler": {"window_s": 10**400}}, "window_s needs a number"),
        ({"shape": {"cores": 0}}, "cores needs a number"),
        ({"shape": {"cores": math.nan}}, "cores needs a number"),
        ({"shape": {"max_instances": 0}}, "max_instances needs a whole number of at least 1"),
        ({"shape": {"max_instances": 1.5}}, "max_instances needs a whole number"),
        ({"shape": {"max_instances": "1"}}, "max_instances needs a whole number"),
        ({"shape": {"max_instances": None}}, "max_instances needs a whole number"),
        ({"listen": 8080}, "listen needs a text"),
        ({"admin": None}, "admin needs a text"),
        ({"service": 7}, "service needs a name"),
        ({"service": "a/../b"}, "service needs a name"),
        ({"command": "server"}, "command needs a list of words"),
        ({"command": ["server", 1]}, "command needs a list of words"),
        ({"generation": "1"}, "generation needs a whole number"),
        ({"initial_scale": -1}, "initial_scale needs a whole number"),
        ({"initial_scale": 1.5}, "initial_scale needs a whole number"),
        ({"most_workers": 257}, "most_workers needs a whole number from 1 to 256"),
        ({"environment": []}, "environment needs an object of texts"),
        ({"environment": {"A": 1}}, "environment needs an object of texts"),
        ({"started_at_s": "now"}, "started_at_s needs a number"),
    ],
)
def test_settings_that_make_no_sense_are_named(tmp_path, document, message):
    with pytest.raises(BadInputError, match=message):
        settings_from_document(document, run_folder=tmp_path, where="settings.json")


@pytest.mark.parametrize("cores", [None, math.inf])
def test_cores_without_bound_may_be_told(tmp_path, cores):
    settings = settings_from_document({"shape": {"cores": cores}}, run_folder=tmp_path, where="x")

    assert math.isinf(settings.shape.cores)


def test_more_workers_than_a_server_takes_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="most_workers: needs a whole number from 1 to 256, got 257"):
        ActivatorSettings(run_folder=tmp_path, most_workers=257)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text("{")

    with pytest.raises(BadInputError, match=r"settings\.json"):
        read_settings(path, run_folder=tmp_path)


def test_a_server_is_told_the_setting_and_not_the_activators_secret(tmp_path):
    settings = ActivatorSettings(
        run_folder=tmp_path, service="demo", environment={"TIDEGATE_CONTROLLER_URL": "http://c"}
    )

    environment = server_environment(
        settings,
        ServingConfig(max_batch_size=3, workers=1),
        {"PATH": "/bin", "TIDEGATE_ACTIVATOR_TOKEN": "secret"},
        workers=2,
    )

    assert environment == {
        "PATH": "/bin",
        "TIDEGATE_CONTROLLER_URL": "http://c",
        "TIDEGATE_SERVICE": "demo",
        "TIDEGATE_HOT_SETTINGS_FILE": str(tmp_path / "hot-settings.json"),
        "TIDEGATE_MAX_BATCH_SIZE": "3",
        "TIDEGATE_BATCH_TOKENS": "512",
        "TIDEGATE_MAX_QUEUE_DELAY_S": "0.0",
        "TIDEGATE_MAX_QUEUE_LENGTH": "1000",
        "TIDEGATE_WORKERS": "2",
    }


def test_the_file_of_hot_settings_has_the_generation_and_nothing_warm(tmp_path):
    write_hot_settings(tmp_path, ServingConfig(workers=2), 7)

    document = json.loads((tmp_path / "hot-settings.json").read_text())

    assert document["generation"] == 7
    assert document["workers"] == 2
    assert "min_scale" not in document
    assert [path.name for path in tmp_path.iterdir()] == ["hot-settings.json"]
