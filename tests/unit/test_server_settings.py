import dataclasses

import pytest

from inference_service.errors import StartError
from inference_service.hot_settings import FIELDS, HotSettings, initial_hot_settings
from inference_service.settings import Settings, read_settings


def test_an_empty_environment_gives_the_defaults():
    settings = read_settings({"HOME": "/root"})
    assert (settings.model, settings.max_batch_size, settings.port) == ("demo", 8, 8080)
    assert settings.cache.endswith("tidegate")


def test_the_cache_follows_the_desktop_standard():
    assert read_settings({"XDG_CACHE_HOME": "/x"}).cache == "/x/tidegate"
    assert read_settings({"XDG_CACHE_HOME": "/x", "TIDEGATE_CACHE": "/y"}).cache == "/y"


def test_values_are_typed_and_flags_lie_over_the_environment():
    settings = read_settings({"TIDEGATE_PORT": "1", "TIDEGATE_MAX_QUEUE_DELAY_S": "0.5"}, {"port": "2"})
    assert (settings.port, settings.max_queue_delay_s) == (2, 0.5)


def test_an_empty_value_is_the_default():
    assert read_settings({"TIDEGATE_CONTROLLER_URL": "", "TIDEGATE_WORKERS": ""}).workers == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "1025"),
        ("BATCH_TOKENS", "0"),
        ("MAX_QUEUE_DELAY_S", "-1"),
        ("MAX_QUEUE_DELAY_S", "nan"),
        ("MAX_QUEUE_DELAY_S", "inf"),
        ("MAX_QUEUE_LENGTH", "0"),
        ("WORKERS", "2.0"),
        ("PORT", "65536"),
        ("PRECISION", "int4"),
        ("REQUEST_TIMEOUT_S", "0"),
        ("CONTROLLER_URL", "controller:80"),
        ("CONTROLLER_URL", "http://"),
        ("CONTROLLER_URL", "http://host:port"),
        ("CONTROLLER_URL", "https://"),
        ("CONTROLLER_URL", "ftp://host"),
        ("CONTROLLER_TOKEN", "a\r\nb"),
        ("MODEL_NAME", "a/b"),
        ("FAKE_PER_TOKEN_S", "-1"),
    ],
)
def test_a_bad_value_is_named(name, value):
    with pytest.raises(StartError, match=f"TIDEGATE_{name}="):
        read_settings({f"TIDEGATE_{name}": value})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081", "https://tidegate-controller.tidegate.svc:8443", "https://c"])
def test_a_controller_may_be_spoken_to_with_and_without_tls(url):
    assert read_settings({"TIDEGATE_CONTROLLER_URL": url}).controller_url == url


def test_a_token_beside_a_token_file_is_an_error_that_says_which_to_remove_and_shows_no_token():
    both = {"TIDEGATE_CONTROLLER_TOKEN": "abc", "TIDEGATE_CONTROLLER_TOKEN_FILE": "/run/token"}
    with pytest.raises(StartError, match="remove TIDEGATE_CONTROLLER_TOKEN, the file is kept fresh") as caught:
        read_settings(both)
    assert "abc" not in str(caught.value)


def test_a_ca_file_for_a_link_without_tls_is_an_error():
    environ = {"TIDEGATE_CONTROLLER_CA_FILE": "/run/ca.crt", "TIDEGATE_CONTROLLER_URL": "http://c"}
    with pytest.raises(StartError, match="needs https in TIDEGATE_CONTROLLER_URL"):
        read_settings(environ)


def test_files_of_the_link_may_be_named_before_they_exist():
    settings = read_settings(
        {"TIDEGATE_CONTROLLER_CA_FILE": "/none/ca", "TIDEGATE_CONTROLLER_TOKEN_FILE": "/none/token"}
    )
    assert (settings.controller_ca_file, settings.controller_token_file) == ("/none/ca", "/none/token")


def test_an_unknown_name_is_an_error():
    with pytest.raises(StartError, match="unknown setting TIDEGATE_MAX_BATCH in"):
        read_settings({"TIDEGATE_MAX_BATCH": "1"})


def test_the_table_of_hot_settings_is_that_of_the_class():
    assert [field.name for field in dataclasses.fields(HotSettings)] == list(FIELDS)


def test_hot_settings_start_at_generation_0_with_the_environments_values():
    hot = initial_hot_settings(Settings(max_batch_size=3, workers=2))
    assert (hot.generation, hot.max_batch_size, hot.workers) == (0, 3, 2)
