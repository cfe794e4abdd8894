"""Calls to a Kubernetes API over real HTTP: what is sent, and what becomes of every way in which an answer is none."""

import asyncio
import json
from urllib.parse import unquote

import pytest
import yaml
from aiohttp import web
from kubernetes.config import kube_config

from controller.errors import BadInputError, TemporaryError
from controller.platforms import cluster_client
from controller.platforms.cluster_client import (
    ClusterCallError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    MissingError,
    connect,
)

PATH = "/api/v1/namespaces/team/configmaps/one"


class Api:
    """An API server that answers what a test wants and remembers what it was asked."""

    def __init__(self):
        self.status, self.body, self.asked = 200, b'{"kind": "ConfigMap"}', []
        self.pages = []
        self.is_closing = self.is_hanging = False
        self.ending = asyncio.Event()
        self.runner = None

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return self.runner.addresses[0][1]

    async def answer(self, request):
        self.asked.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        if self.is_hanging:
            await self.ending.wait()
        if self.is_closing:
            request.transport.abort()
        if self.pages:
            self.body = json.dumps(self.pages.pop(0)).encode()
        return web.Response(status=self.status, body=self.body, content_type="application/json")

    def refuse(self, status, message):
        self.status, self.body = status, json.dumps({"kind": "Status", "code": status, "message": message}).encode()

    @property
    def asked_last(self):
        method, path, _, body = self.asked[-1]
        return method, path, body


def kubeconfig(server):
    named = {"cluster": "c", "user": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": named}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
    }


@pytest.fixture
async def api():
    made = Api()
    yield made
    made.ending.set()
    if made.runner is not None:
        await made.runner.cleanup()


@pytest.fixture
async def client(api, tmp_path, monkeypatch):
    port = await api.start()
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{port}")))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.setattr(cluster_client, "TIMEOUT_S", (0.5, 0.3))
    made = connect()
    yield made
    made._client.rest_client.pool_manager.clear()


def calls_of(client):
    return {
        "get": lambda: client.get(PATH),
        "list": lambda: client.list("/api/v1/pods"),
        "uids": lambda: client.uids("/api/v1/pods"),
        "text": lambda: client.text(PATH),
        "create": lambda: client.create("/api/v1/namespaces/team/configmaps", {"kind": "ConfigMap"}),
        "patch": lambda: client.patch(PATH, {"data": {}}),
        "apply": lambda: client.apply(PATH, {"kind": "ConfigMap"}),
        "delete": lambda: client.delete(PATH),
    }


CALLS = list(calls_of(None))


async def failure_of(call):
    with pytest.raises(ClusterCallError) as failed:
        await call()
    return failed.value


async def test_an_object_is_answered_and_the_token_is_shown(client, api):
    assert await client.get(PATH) == {"kind": "ConfigMap"}
    method, path, headers, _ = api.asked[-1]
    assert (method, path, headers["Authorization"]) == ("GET", PATH, "Bearer secret-token")


async def test_a_list_is_its_items_and_labels_are_asked_for(client, api):
    api.body = b'{"items": [{"a": 1}]}'
    assert await client.list("/api/v1/pods", labels="app=x,tier=y") == [{"a": 1}]
    assert unquote(api.asked_last[1]) == "/api/v1/pods?labelSelector=app=x,tier=y"
    api.body = b"{}"
    assert await client.list("/api/v1/pods") == []
    assert api.asked_last[1] == "/api/v1/pods"


async def test_uids_are_read_as_pages_of_metadata(client, api):
    items = [{"metadata": {"uid": uid}} for uid in ("a", "b", "c")]
    api.pages = [{"metadata": {"continue": "next="}, "items": items[:2]}, {"metadata": {}, "items": items[2:]}]
    assert await client.uids("/api/v1/pods", labels="app") == {"a", "b", "c"}
    first, second = api.asked
    assert unquote(first[1]) == "/api/v1/pods?limit=500&labelSelector=app"
    assert unquote(second[1]) == "/api/v1/pods?limit=500&labelSelector=app&continue=next="
    assert first[2]["Accept"].startswith("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")


@pytest.mark.parametrize("items", [[], None])
async def test_an_empty_collection_has_no_uids(client, api, items):
    api.pages = [{"metadata": {"resourceVersion": "1"}, "items": items}]
    assert await client.uids("/api/v1/pods") == set()


@pytest.mark.parametrize("page", [{}, [], None, {"items": []}, {"metadata": {}}, {"metadata": {}, "items": [{}]}])
async def test_what_is_no_list_is_not_taken_for_an_empty_one(client, api, page):
    api.pages = [page]
    assert "answered no list" in str(await failure_of(lambda: client.uids("/api/v1/pods")))


async def test_a_list_whose_next_page_fails_is_none(client, api):
    api.pages = [{"metadata": {"continue": "x"}, "items": [{"metadata": {"uid": "a"}}]}, {"items": []}]
    await failure_of(lambda: client.uids("/api/v1/pods"))


async def test_text_need_be_neither_json_nor_utf_8(client, api):
    api.body = b"line \xff\n"
    assert await client.text(f"{PATH}/log?tailLines=3") == "line \ufffd\n"
    assert api.asked_last[1] == f"{PATH}/log?tailLines=3"


@pytest.mark.parametrize(
    ("kind", "change", "content_type"),
    [
        ("merge", {"data": {"a": None}}, "application/merge-patch+json"),
        ("strategic", {"spec": {"containers": [{"name": "c"}]}}, "application/strategic-merge-patch+json"),
        ("json", [{"op": "remove", "path": "/data"}], "application/json-patch+json"),
    ],
)
async def test_a_patch_says_its_kind_and_who_makes_it(client, api, kind, change, content_type):
    await client.patch(PATH, change, kind=kind)
    method, path, headers, body = api.asked[-1]
    assert (method, path, json.loads(body)) == ("PATCH", f"{PATH}?fieldManager=tidegate", change)
    assert headers["Content-Type"] == content_type


@pytest.mark.parametrize("force", [True, False])
async def test_an_apply_says_whether_fields_of_others_are_taken(client, api, force):
    await client.apply(PATH, {"kind": "ConfigMap"}, force=force)
    method, path, headers, body = api.asked[-1]
    assert (method, path) == ("PATCH", f"{PATH}?fieldManager=tidegate&force={str(force).lower()}")
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert yaml.safe_load(body) == {"kind": "ConfigMap"}


async def test_a_new_object_is_posted_to_its_collection(client, api):
    api.status = 201
    await client.create("/api/v1/namespaces/team/configmaps", {"kind": "ConfigMap"})
    assert api.asked_last[:2] == ("POST", "/api/v1/namespaces/team/configmaps?fieldManager=tidegate")


async def test_what_is_gone_already_is_deleted(client, api):
    api.refuse(404, "configmaps one not found")
    await client.delete(PATH)
    assert json.loads(api.asked_last[2]) == {"propagationPolicy": "Background"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (401, ClusterCallError),
        (403, ForbiddenError),
        (404, MissingError),
        (409, ConflictError),
        (422, InvalidError),
        (429, ClusterCallError),
        (500, ClusterCallError),
        (503, ClusterCallError),
    ],
)
async def test_a_refusal_has_its_kind_and_the_words_of_the_api_server(client, api, status, kind):
    api.refuse(status, "the reason it gives")
    error = await failure_of(lambda: client.patch(PATH, {}))
    assert type(error) is kind
    assert isinstance(error, TemporaryError)
    assert error.status == status
    assert str(error).startswith(f"cluster: PATCH {PATH} answered {status}: the reason it gives")


@pytest.mark.parametrize(("status", "remedy"), [(401, "renew the credentials"), (403, "grant the right")])
async def test_what_somebody_must_do_is_said(client, api, status, remedy):
    api.refuse(status, "no")
    assert remedy in str(await failure_of(lambda: client.get(PATH)))


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b'"text"', b"{}", b"<html>Bad gateway</html>", b"\xff\xfe"])
async def test_a_refusal_without_words_is_still_one(client, api, body):
    api.status, api.body = 502, body
    error = await failure_of(lambda: client.get(PATH))
    assert error.status == 502
    assert str(error).startswith(f"cluster: GET {PATH} answered 502: ")


@pytest.mark.parametrize("body", [b"", b"<html>log in</html>", b"{", b"\xff\xfe\xff"])
async def test_an_answer_that_is_no_json_is_a_failure(client, api, body):
    api.body = body
    error = await failure_of(lambda: client.get(PATH))
    assert error.status == 0
    assert str(error) == f"cluster: GET {PATH} answered no JSON; see whether a proxy stands before the API server"


@pytest.mark.parametrize("name", CALLS)
async def test_a_server_that_hangs_is_not_waited_for_and_asked_once(client, api, name):
    api.is_hanging = True
    began_s = asyncio.get_running_loop().time()
    error = await failure_of(calls_of(client)[name])
    assert asyncio.get_running_loop().time() - began_s < 0.9
    assert error.status == 0
    assert len(api.asked) == 1


@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_that_is_closed_is_a_failure(client, api, name):
    api.is_closing = True
    error = await failure_of(calls_of(client)[name])
    assert error.status == 0
    assert "see whether the API server is up" in str(error)


@pytest.mark.parametrize("name", CALLS)
async def test_a_server_that_is_away_is_a_failure(client, api, name):
    await api.runner.cleanup()
    error = await failure_of(calls_of(client)[name])
    assert error.status == 0
    assert "Connection refused" in str(error)


async def test_the_same_failure_has_the_same_words_so_that_it_is_told_once(client, api):
    api.is_closing = True
    told = {str(await failure_of(calls_of(client)["get"])) for _ in range(3)}
    assert len(told) == 1


async def test_a_client_goes_on_when_the_server_is_back(client, api):
    api.is_closing = True
    await failure_of(calls_of(client)["get"])
    api.is_closing = False
    assert await client.get(PATH) == {"kind": "ConfigMap"}


async def test_no_message_is_longer_than_a_status_may_hold_or_shows_a_token_or_a_trace(client, api):
    api.refuse(422, "x" * 100_000)
    refused = str(await failure_of(calls_of(client)["apply"]))
    api.is_closing = True
    away = str(await failure_of(calls_of(client)["apply"]))
    for each in (refused, away):
        assert len(each) < 1024
        assert "secret-token" not in each
        assert "Traceback" not in each


def test_without_a_kubeconfig_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(BadInputError, match="set KUBECONFIG, or run inside a cluster"):
        connect()


@pytest.mark.parametrize("text", ["", "- a\n- b", "{", "apiVersion: v1\nkind: Config\n", "\x00"])
def test_a_kubeconfig_that_is_none_is_refused_in_words(tmp_path, monkeypatch, text):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    with pytest.raises(BadInputError, match="no kubeconfig that can be used"):
        connect()
