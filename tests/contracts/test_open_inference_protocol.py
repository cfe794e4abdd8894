"""V1 and V2 over the real application and batcher, in one process: only sockets and workers are replaced."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_service.api import v1, v2
from inference_service.api.app import Application
from inference_service.api.health import HealthEndpoints
from inference_service.api.http_io import LARGEST_BODY
from inference_service.api.predict import PredictEndpoint
from inference_service.api.routes import build_routes
from inference_service.batching.batcher import Batcher
from inference_service.counters import Counters
from inference_service.hot_settings import initial_hot_settings
from inference_service.inference import BatchAnswer
from inference_service.runtimes.fake_runtime import FakeRuntime, FakeTokenizer
from inference_service.runtimes.loader import describe_model
from inference_service.settings import Settings

V1 = "/v1/models/distilbert:predict"
V2 = "/v2/models/distilbert/infer"


class InlineSink:
    """Computes at once."""

    def __init__(self, runtime):
        self._runtime = runtime

    def has_free_slot(self):
        return True

    def on_free_slot(self, callback):
        pass

    def send(self, inputs):
        future = asyncio.get_running_loop().create_future()
        flat = inputs[0][:0]
        for ids in inputs:
            flat += ids
        future.set_result(BatchAnswer(self._runtime.predict(flat, [len(ids) for ids in inputs]), 0.0))
        return future


class Client:
    """Calls an ASGI application as a server would."""

    def __init__(self):
        settings = Settings(model="fake", max_queue_length=50)
        model = describe_model(settings)
        self.counters = Counters()
        batcher = Batcher(
            InlineSink(FakeRuntime(settings)), initial_hot_settings(settings), self.counters, model.labels
        )
        endpoints = [
            PredictEndpoint(
                codec,
                model=model,
                tokenizer=FakeTokenizer(),
                batcher=batcher,
                counters=self.counters,
                request_timeout_s=30,
            )
            for codec in (v1, v2)
        ]
        health = HealthEndpoints(model, lambda: not self.app.is_draining, lambda: b"")
        routes = build_routes("distilbert", predict_v1=endpoints[0], predict_v2=endpoints[1], health=health)
        self.app = Application(routes, "distilbert", lambda: None)

    async def call(self, method, path, body=b"", headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        inbox = [{"type": "http.request", "body": body, "more_body": False}]
        sent = []

        async def receive():
            if inbox:
                return inbox.pop()
            return await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        headers = dict(sent[0]["headers"])
        assert int(headers[b"content-length"]) == len(sent[1]["body"])
        return sent[0]["status"], json.loads(sent[1]["body"] or "null"), headers


@pytest.fixture
async def client():
    return Client()


def text_tensor(*texts, **changes):
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)} | changes


def id_tensor(shape, data, **changes):
    return {"name": "input_ids", "shape": shape, "datatype": "INT64", "data": data} | changes


def mask_tensor(shape, data):
    return {"name": "attention_mask", "shape": shape, "datatype": "INT64", "data": data}


@pytest.mark.parametrize("instance", ["a film", {"text": "a film"}])
async def test_v1_answers_label_and_probabilities(client, instance):
    status, answer, _ = await client.call("POST", V1, {"instances": [instance]})
    assert status == 200
    (prediction,) = answer["predictions"]
    assert set(prediction["probabilities"]) == {"negative", "positive"}
    assert prediction["probabilities"][prediction["label"]] == 0.75


async def test_v1_keeps_the_order_of_instances(client):
    ids = [{"input_ids": [i, 2]} for i in range(20)]
    _, answer, _ = await client.call("POST", V1, {"instances": ids})
    assert [each["label"] for each in answer["predictions"]] == ["negative", "positive"] * 10


async def test_v2_answers_tensors_and_echoes_the_id(client):
    request = {"id": "42", "parameters": {"ignored": True}, "inputs": [id_tensor([2, 2], [1, 2, 2, 2])]}
    status, answer, _ = await client.call("POST", V2, request)
    assert status == 200
    assert answer == {
        "id": "42",
        "model_name": "distilbert",
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["positive", "negative"]},
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.25, 0.75, 0.75, 0.25]},
        ],
    }


@pytest.mark.parametrize(("shape", "data"), [([2], ["a", "b"]), ([2, 1], ["a", "b"]), ([2, 1], [["a"], ["b"]])])
async def test_v2_takes_texts_in_one_column(client, shape, data):
    status, answer, _ = await client.call("POST", V2, {"inputs": [text_tensor(shape=shape, data=data)]})
    assert status == 200
    assert answer["outputs"][0]["shape"] == [2]


async def test_v2_takes_nested_rows(client):
    _, answer, _ = await client.call("POST", V2, {"inputs": [id_tensor([2, 2], [[1, 2], [2, 2]])]})
    assert answer["outputs"][0]["data"] == ["positive", "negative"]


async def test_v2_masked_tokens_do_not_count(client):
    tensors = [id_tensor([1, 3], [2, 2, 1]), mask_tensor([1, 3], [1, 1, 0])]
    _, answer, _ = await client.call("POST", V2, {"inputs": tensors})
    assert answer["outputs"][0]["data"] == ["negative"]


async def test_v2_answers_only_the_outputs_asked_for(client):
    request = {"inputs": [text_tensor("a")], "outputs": [{"name": "probabilities"}]}
    _, answer, _ = await client.call("POST", V2, request)
    assert [each["name"] for each in answer["outputs"]] == ["probabilities"]


async def test_metadata_describes_what_infer_takes(client):
    status, answer, _ = await client.call("GET", "/v2/models/distilbert")
    assert status == 200
    assert [each["name"] for each in answer["inputs"]] == ["text", "input_ids", "attention_mask"]
    assert [each["name"] for each in answer["outputs"]] == ["label", "probabilities"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/distilbert/ready",
        "/v1/models",
        "/v1/models/distilbert",
    ],
)
async def test_health_and_metadata_answer_200(client, path):
    assert (await client.call("GET", path))[0] == 200


async def test_a_draining_server_refuses_and_says_so(client):
    client.app.is_draining = True
    assert (await client.call("GET", "/v2/health/ready"))[0] == 503
    assert (await client.call("GET", "/v2/health/live"))[0] == 200
    status, answer, headers = await client.call("POST", V1, {"instances": ["a"]})
    assert (status, headers[b"connection"]) == (503, b"close")
    assert "draining" in answer["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        (V1, b"", 400, "not valid JSON"),
        (V1, b"{", 400, "not valid JSON"),
        (V1, b'{"instances": [NaN]}', 400, "not valid JSON"),
        (V1, b'{"instances": ["\xff"]}', 400, "not valid JSON"),
        (V1, b"[" * 100_000, 400, "not valid JSON"),
        (V1, [], 400, "must be a JSON object"),
        (V1, {}, 400, '"instances" is missing'),
        (V1, {"instances": "text"}, 400, '"instances" must be an array'),
        (V1, {"instances": []}, 400, '"instances" is empty'),
        (V1, {"instances": ["ok", 7]}, 400, "instances[1] must be a text"),
        (V1, {"instances": ["ok", None]}, 400, "instances[1] must be a text"),
        (V1, {"instances": [{}]}, 400, "instances[0] has neither text nor input_ids"),
        (V1, {"instances": [{"text": 3}]}, 400, "instances[0].text must be a string"),
        (V1, {"instances": [{"text": "a", "input_ids": [1]}]}, 400, "has both"),
        (V1, {"instances": [{"input_ids": "1"}]}, 400, "instances[0].input_ids must be an array"),
        (V1, {"instances": [{"input_ids": []}]}, 400, "has 0 token ids"),
        (V1, {"instances": [{"input_ids": [1] * 513}]}, 400, "has 513 token ids"),
        (V1, {"instances": [{"input_ids": [1, 1.5]}]}, 400, "input_ids[1] must be a whole number"),
        (V1, {"instances": [{"input_ids": [True]}]}, 400, "input_ids[0] must be a whole number"),
        (V1, {"instances": [{"input_ids": [-1]}]}, 400, "token ids are 0 to 30521"),
        (V1, {"instances": [{"input_ids": [10**30]}]}, 400, "input_ids[0]"),
        (V1, {"instances": [{"input_ids": [30522]}]}, 400, "input_ids[0] is 30522"),
        (V1, {"instances": ["a"] * 51}, 413, "51 instances, the queue takes 50 at most"),
        (V1, {"instances": ["a"] * 1025}, 413, "1025 instances, a call takes 1024"),
        (V1, b" " * (LARGEST_BODY + 1), 413, "more than"),
        (V2, {}, 400, '"inputs" must be an array'),
        (V2, {"inputs": [7]}, 400, "inputs[0] must be an object"),
        (V2, {"id": 7, "inputs": [text_tensor("a")]}, 400, '"id" must be a string'),
        (V2, {"inputs": [text_tensor("a", name="image")]}, 400, "inputs[0].name must be"),
        (V2, {"inputs": [text_tensor("a", name=["text"])]}, 400, "inputs[0].name must be"),
        (V2, {"inputs": [text_tensor("a"), text_tensor("a")]}, 400, "text twice"),
        (V2, {"inputs": [text_tensor("a"), id_tensor([1, 1], [1])]}, 400, "both text and input_ids"),
        (V2, {"inputs": [text_tensor("a", datatype="FP32")]}, 400, "text.datatype must be BYTES"),
        (V2, {"inputs": [text_tensor("a", shape=[2])]}, 400, "text.data has 1 elements"),
        (V2, {"inputs": [text_tensor("a", shape=[1, 2])]}, 400, "text.shape must be [n] or [n, 1]"),
        (V2, {"inputs": [text_tensor("a", shape=[0])]}, 400, "text.shape must hold whole numbers"),
        (V2, {"inputs": [text_tensor("a", shape=[1] * 5000)]}, 400, "one or two whole numbers, not 5000 of them"),
        (V2, {"inputs": [text_tensor("a", shape=[5000])]}, 413, "text has 5000 instances, a call takes 1024"),
        (V2, {"inputs": [text_tensor("a", datatype=["x"] * 5000)]}, 400, "not an array"),
        (V2, {"inputs": [text_tensor("a", shape=None)]}, 400, "text.shape must be an array"),
        (V2, {"inputs": [text_tensor(7)]}, 400, "text.data[0] must be a string"),
        (V2, {"inputs": [text_tensor("a", data=None)]}, 400, "text.data must be an array"),
        (V2, {"inputs": [mask_tensor([1, 1], [1])]}, 400, "neither a tensor"),
        (V2, {"inputs": [id_tensor([1, 2], [1])]}, 400, "input_ids.data has 1 elements"),
        (V2, {"inputs": [id_tensor([2], [1, 1])]}, 400, "input_ids.shape must be [n, length]"),
        (V2, {"inputs": [id_tensor([1, 1], ["x"])]}, 400, "input_ids.data[0][0] must be a whole number"),
        (V2, {"inputs": [id_tensor([1, 1], [1], datatype="BOOL")]}, 400, "input_ids.datatype must be"),
        (V2, {"inputs": [id_tensor([1, 2], [1, 1]), mask_tensor([1, 2], [0, 1])]}, 400, "ones followed by zeros"),
        (V2, {"inputs": [id_tensor([1, 2], [1, 1]), mask_tensor([1, 2], [0, 0])]}, 400, "has no ones"),
        (V2, {"inputs": [id_tensor([1, 2], [1, 1]), mask_tensor([1, 1], [1])]}, 400, "attention_mask.shape must equal"),
        (V2, {"inputs": [text_tensor("a")], "outputs": [{"name": "logits"}]}, 400, "outputs[0].name must be"),
        (V2, {"inputs": [text_tensor("a")], "outputs": 3}, 400, '"outputs" must be an array'),
        ("/v1/models/bert:predict", {"instances": ["a"]}, 404, "unknown model 'bert'"),
        ("/v2/models/bert/infer", {}, 404, "unknown model 'bert'"),
        ("/v2/models/distilbert/infer/", {}, 404, "unknown route"),
        ("/", {}, 404, "unknown route"),
        ("/v2", {}, 405, "takes GET"),
    ],
)
async def test_bad_input_is_answered_by_name(client, path, body, status, named):
    got, answer, _ = await client.call("POST", path, body)
    assert (got, named in answer["error"]) == (status, True), answer


async def test_a_refused_request_is_counted_by_its_reason(client):
    await client.call("POST", V1, {"instances": []})
    assert client.counters.rejected == {"invalid-input": 1}


@pytest.mark.parametrize("value", [b"0", b"-1", b"nan", b"inf", b"soon", b"3601", b""])
async def test_a_bad_timeout_header_is_named(client, value):
    status, answer, _ = await client.call("POST", V1, {"instances": ["a"]}, [(b"x-tidegate-timeout-s", value)])
    assert status == 400
    assert "X-Tidegate-Timeout-S" in answer["error"]


async def test_the_wrong_method_is_told_the_right_one(client):
    status, _, headers = await client.call("GET", V1)
    assert (status, headers[b"allow"]) == (405, b"POST")


async def test_a_text_with_a_lone_surrogate_is_answered(client):
    status, _, _ = await client.call("POST", V1, b'{"instances": ["\\ud800 \\udfff"]}')
    assert status in (200, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["text", "input_ids", "attention_mask"])
TENSORS = st.fixed_dictionaries(
    {"name": NAMES | JSON, "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON, "data": JSON},
    optional={"datatype": st.sampled_from(["BYTES", "INT32", "INT64"]) | JSON},
)
BODIES = (
    JSON
    | st.fixed_dictionaries({"instances": st.lists(JSON, max_size=3) | JSON})
    | st.fixed_dictionaries({"inputs": st.lists(TENSORS, max_size=3)}, optional={"id": JSON, "outputs": JSON})
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, st.sampled_from([V1, V2]))
def test_no_json_document_gives_a_server_error(body, path):
    async def call():
        return await Client().call("POST", path, body)

    assert asyncio.run(call())[0] < 500


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64), st.sampled_from([V1, V2]))
def test_no_bytes_give_a_server_error(body, path):
    async def call():
        return await Client().call("POST", path, body)

    assert asyncio.run(call())[0] < 500
