"""The operator's environment: read once, strictly, undisturbed by what Kubernetes itself writes into a pod."""

import pytest

from controller.errors import BadInputError
from controller.reconcilers.operator_settings import OperatorSettings, read_operator_settings

WRITTEN_BY_KUBERNETES = {
    "TIDEGATE_CONTROLLER_SERVICE_HOST": "10.96.0.7",
    "TIDEGATE_CONTROLLER_SERVICE_PORT": "8443",
    "TIDEGATE_CONTROLLER_SERVICE_PORT_LINK": "8443",
    "TIDEGATE_CONTROLLER_PORT": "tcp://10.96.0.7:8443",
    "TIDEGATE_CONTROLLER_PORT_8443_TCP": "tcp://10.96.0.7:8443",
    "TIDEGATE_CONTROLLER_PORT_8443_TCP_PROTO": "tcp",
    "TIDEGATE_CONTROLLER_PORT_8443_TCP_PORT": "8443",
    "TIDEGATE_CONTROLLER_PORT_8443_TCP_ADDR": "10.96.0.7",
    # Services of the names tidegate and tidegate-link
    "TIDEGATE_SERVICE_HOST": "10.96.0.8",
    "TIDEGATE_SERVICE_PORT": "80",
    "TIDEGATE_PORT": "tcp://10.96.0.8:80",
    "TIDEGATE_PORT_80_TCP": "tcp://10.96.0.8:80",
    "TIDEGATE_LINK_SERVICE_HOST": "10.96.0.9",
    "TIDEGATE_LINK_PORT": "tcp://10.96.0.9:8443",
}


def test_an_empty_environment_gives_the_defaults():
    assert read_operator_settings({}) == OperatorSettings()


def test_what_kubernetes_writes_into_a_pod_beside_our_services_does_not_disturb():
    assert read_operator_settings(WRITTEN_BY_KUBERNETES) == OperatorSettings()


def test_every_setting_is_read_from_its_name():
    environ = {
        "TIDEGATE_NAMESPACE": "ops",
        "TIDEGATE_WATCH_NAMESPACES": "a, b,",
        "TIDEGATE_SERVICE_NAME": "other-name",
        "TIDEGATE_INSTANCE": "me",
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_LINK_PORT": "9443",
        "TIDEGATE_STATUS_PORT": "0",
        "TIDEGATE_PROMETHEUS_URL": "http://prometheus:9090",
        "TIDEGATE_LOADTEST_IMAGE": "load:1",
        "TIDEGATE_LOG_LEVEL": "debug",
    }
    assert read_operator_settings({**environ, "PATH": "/bin"}) == OperatorSettings(
        namespace="ops",
        watch_namespaces="a, b,",
        service_name="other-name",
        instance="me",
        host="127.0.0.1",
        link_port=9443,
        status_port=0,
        prometheus_url="http://prometheus:9090",
        loadtest_image="load:1",
        log_level="debug",
    )


def test_every_setting_can_be_said_in_the_environment():
    for name in OperatorSettings.__dataclass_fields__:
        default = getattr(OperatorSettings(), name)
        text = "7" if isinstance(default, int) else "error" if name == "log_level" else "other"
        found = read_operator_settings({f"TIDEGATE_{name.upper()}": text})
        assert str(getattr(found, name)) == text


@pytest.mark.parametrize(("text", "namespaces"), [("", ()), (" , ", ()), ("a", ("a",)), ("a, b ,c,", ("a", "b", "c"))])
def test_namespaces_are_a_list_with_commas_and_none_is_all(text, namespaces):
    assert OperatorSettings(watch_namespaces=text).namespaces == namespaces


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("TIDEGATE_LINK_PORTS", "1", "unknown setting TIDEGATE_LINK_PORTS"),
        ("TIDEGATE_LINK_PORT", "many", "TIDEGATE_LINK_PORT=many must be a whole number"),
        ("TIDEGATE_STATUS_PORT", "65536", "TIDEGATE_STATUS_PORT=65536 must be 0 to 65535"),
        ("TIDEGATE_STATUS_PORT", "-1", "TIDEGATE_STATUS_PORT=-1 must be 0 to 65535"),
        ("TIDEGATE_LOG_LEVEL", "loud", "TIDEGATE_LOG_LEVEL=loud must be debug, info, warning or error"),
        ("TIDEGATE_NAMESPACE", "", "TIDEGATE_NAMESPACE must name"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_setting(name, text, message):
    with pytest.raises(BadInputError, match=message):
        read_operator_settings({name: text})


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(BadInputError, match="known are TIDEGATE_NAMESPACE, TIDEGATE_WATCH_NAMESPACES"):
        read_operator_settings({"TIDEGATE_NAMESPACES": "a"})
