"""What a server is given to talk to the operator, and who may reach whom."""

import pytest

pytestmark = pytest.mark.needs("helm")


@pytest.mark.parametrize(("platform", "service"), [("knative", "try"), ("kserve", "try-predictor")])
def test_the_token_the_authority_and_the_hot_settings_are_mounted(helm, platform, service):
    documents = helm.render("inference-service", f'platform="{platform}"')
    [spec] = [each["spec"] for each in documents if each["kind"] in ("Service", "InferenceService")]
    pod = spec["predictor"] if platform == "kserve" else spec["template"]["spec"]
    token, authority, settings = pod["volumes"][0]["projected"]["sources"]
    assert token["serviceAccountToken"] == {"audience": "tidegate", "expirationSeconds": 600, "path": "token"}
    assert (authority["configMap"]["name"], authority["configMap"]["optional"]) == ("tidegate-ca", True)
    assert (settings["configMap"]["name"], settings["configMap"]["optional"]) == (f"tidegate-hot-{service}", True)
    told = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert told == {
        "TIDEGATE_CONTROLLER_URL": "https://tidegate-controller.tidegate.svc:8443",
        "TIDEGATE_CONTROLLER_TOKEN_FILE": "/var/run/tidegate/token",
        "TIDEGATE_CONTROLLER_CA_FILE": "/var/run/tidegate/ca.crt",
        "TIDEGATE_HOT_SETTINGS_FILE": "/var/run/tidegate/hot-settings.json",
    }


def test_a_server_without_the_link_mounts_nothing(helm, only):
    pod = only(helm.render("inference-service", 'link={"enabled": false}'), "Service")["spec"]["template"]["spec"]
    assert "volumes" not in pod
    assert "volumeMounts" not in pod["containers"][0]


def test_every_pod_reaches_the_link_and_only_its_test_the_status_port(helm, only):
    link, status = only(helm.render("controller"), "NetworkPolicy")["spec"]["ingress"]
    assert link == {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": "link"}]}
    [peer] = status["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "tidegate-controller-test"


def test_prometheus_is_reached_only_when_there_is_one(helm, only):
    without = only(helm.render("controller"), "NetworkPolicy")["spec"]["egress"]
    given = only(helm.render("controller", 'prometheus={"url": "http://p.m.svc:9090"}'), "NetworkPolicy")
    extra = [rule for rule in given["spec"]["egress"] if rule not in without]
    assert extra == [{"ports": [{"protocol": "TCP", "port": 9090}]}]


def test_a_servers_policy_lets_its_heartbeats_out(helm, only):
    flags = ('networkPolicy={"enabled": true}', 'link={"controllerNamespace": "ops"}')
    egress = only(helm.render("inference-service", *flags), "NetworkPolicy")["spec"]["egress"]
    [rule] = [each for each in egress if each.get("to")]
    assert rule["to"][0]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}
    assert rule["ports"] == [{"protocol": "TCP", "port": 8443}]
