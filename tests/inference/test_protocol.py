"""The Open Inference Protocol as plain requests speak it: forms of bodies, headers, refusals, keys."""

import gzip
import json
import zlib

import httpx
import numpy as np
import pytest
import torch

from tests.inference.nets import NETS, Net
from tests.laboratory import create
from tests.service import start_service
from tests.test_keys import bearer, make_key

LENGTH = "Inference-Header-Content-Length"
MLP = NETS[0]


def body_of(net: Net, **more: object) -> dict:
    """The request of a network's X in JSON."""
    given = {"name": net.input, "shape": list(net.X.shape), "datatype": "FP32", "data": net.X.flatten().tolist()}
    return {"inputs": [given], **more}


def infer(service: httpx.Client, name: str, **request) -> httpx.Response:
    return service.post(f"/v2/models/{name}/infer", **request)


def binary_parts(reply: httpx.Response) -> tuple[dict, bytes]:
    length = int(reply.headers[LENGTH])
    return json.loads(reply.content[:length]), reply.content[length:]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_plain_json_runs_the_networks_of_the_chapter(service, prefix: str, net: Net) -> None:
    reply = infer(service, f"{prefix}_{net.name}", json=body_of(net, id="a"))
    assert reply.headers["content-type"] == "application/json"
    assert LENGTH not in reply.headers
    wanted = net.wanted()
    (output,) = reply.json()["outputs"]
    assert reply.json() == {
        "model_name": f"{prefix}_{net.name}",
        "model_version": "1",
        "id": "a",
        "outputs": [{"name": "output", "datatype": "FP32", "shape": list(wanted.shape), "data": output["data"]}],
    }
    assert torch.equal(torch.tensor(output["data"]).reshape(wanted.shape), wanted)


def test_data_may_be_nested_and_without_an_id_none_comes_back(service, prefix: str) -> None:
    given = {"name": "X", "shape": [2, 20], "datatype": "FP32", "data": MLP.X.tolist()}
    nested = infer(service, f"{prefix}_mlp", json={"inputs": [given]}).json()
    assert "id" not in nested
    assert nested == infer(service, f"{prefix}_mlp", json=body_of(MLP)).json()


def test_a_body_may_come_without_a_content_type_and_compressed(service, prefix: str) -> None:
    body = json.dumps(body_of(MLP)).encode()
    wanted = infer(service, f"{prefix}_mlp", content=body).json()
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("identity", body)):
        reply = infer(service, f"{prefix}_mlp", content=packed, headers={"Content-Encoding": encoding})
        assert reply.json() == wanted


def test_a_reply_is_compressed_for_whoever_asks_for_one_encoding_alone(service, prefix: str) -> None:
    plain = infer(service, f"{prefix}_mlp", json=body_of(MLP))
    assert "content-encoding" not in plain.headers  # the library offers several by itself
    for encoding in ("gzip", "deflate"):
        reply = infer(service, f"{prefix}_mlp", json=body_of(MLP), headers={"Accept-Encoding": encoding})
        assert reply.headers["content-encoding"] == encoding
        assert reply.json() == plain.json()
    body = body_of(MLP, parameters={"binary_data_output": True})
    reply = infer(service, f"{prefix}_mlp", json=body, headers={"Accept-Encoding": "gzip"})
    head, rest = binary_parts(reply)  # the length counts what was there before it was packed
    assert head["outputs"][0]["parameters"] == {"binary_data_size": len(rest)}


def test_what_an_output_asks_for_goes_before_what_the_request_asks_for(service, fresh_name) -> None:
    name = fresh_name()
    create(service, name, {"inputs": ["x"], "forward": 'return {"a": x, "b": x + 1, "c": x + 2}'})
    given = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}
    wanted = [{"name": "c", "parameters": {"binary_data": False}}, {"name": "a"}]
    body = {"inputs": [given], "outputs": wanted, "parameters": {"binary_data_output": True}}
    reply = infer(service, name, json=body)
    assert reply.headers["content-type"] == "application/octet-stream"
    head, rest = binary_parts(reply)
    assert head["outputs"] == [
        {"name": "c", "datatype": "FP32", "shape": [2], "data": [3.0, 4.0]},
        {"name": "a", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
    ]
    assert np.frombuffer(rest, "<f4").tolist() == [1, 2]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_raw_body_is_the_only_input_and_is_answered_in_binary(service, prefix: str, rows: int) -> None:
    X = torch.rand(rows, 20)
    reply = infer(service, f"{prefix}_mlp", content=X.numpy().tobytes(), headers={LENGTH: "0"})
    head, rest = binary_parts(reply)
    (output,) = head["outputs"]
    assert output["shape"] == [rows, 10]
    given = {"name": "X", "shape": [rows, 20], "datatype": "FP32", "data": X.tolist()}
    told = infer(service, f"{prefix}_mlp", json={"inputs": [given]}).json()["outputs"][0]["data"]
    assert np.frombuffer(rest, "<f4").tolist() == torch.tensor(told).tolist()


def test_versions_are_revisions_and_the_latest_is_the_newest(service, prefix: str) -> None:
    name = f"{prefix}_mlp"
    for version in ("1", "latest"):
        assert service.get(f"/v2/models/{name}/versions/{version}/ready").json() == {"name": name, "ready": True}
        reply = service.post(f"/v2/models/{name}/versions/{version}/infer", json=body_of(MLP))
        assert reply.json()["model_version"] == "1"
    for version in ("2", "0", "-1", "one", "9" * 30):
        assert service.get(f"/v2/models/{name}/versions/{version}").status_code == 404
    assert name in service.get("/v2/models").json()["models"]


GOOD = body_of(MLP)["inputs"][0]
BINARY = {key: GOOD[key] for key in ("name", "shape", "datatype")} | {"parameters": {"binary_data_size": 160}}


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ([], 422, "bad-request", ""),
        ({}, 422, "bad-request", "/inputs"),
        ({"inputs": {}}, 422, "bad-request", "/inputs"),
        ({"inputs": []}, 422, "bad-arguments", "/inputs"),
        ({"inputs": [1]}, 422, "bad-request", "/inputs/0"),
        ({"inputs": [{}]}, 422, "bad-request", "/inputs/0/name"),
        ({"inputs": [GOOD, GOOD]}, 422, "duplicate-name", "/inputs/1/name"),
        ({"inputs": [{**GOOD, "datatype": "FP8"}]}, 422, "bad-dtype", "/inputs/0/datatype"),
        ({"inputs": [{**GOOD, "datatype": 3}]}, 422, "bad-dtype", "/inputs/0/datatype"),
        ({"inputs": [{**GOOD, "shape": [2, 21]}]}, 422, "shape-mismatch", "/inputs/0/data"),
        ({"inputs": [{**GOOD, "shape": [2, -20]}]}, 422, "bad-tensor", "/inputs/0/shape/1"),
        ({"inputs": [{**GOOD, "shape": [2**40, 2**40]}]}, 422, "limit-exceeded", "/inputs/0/shape"),
        ({"inputs": [{**GOOD, "data": ["x"] * 40}]}, 422, "bad-tensor", "/inputs/0/data/0"),
        ({"inputs": [{**GOOD, "shape": [40], "data": GOOD["data"]}]}, 422, "shape-mismatch", "/inputs/0"),
        ({"inputs": [{**GOOD, "name": "Y"}]}, 422, "unknown-name", "/inputs/0"),
        ({"inputs": [{**GOOD, "colour": "red"}]}, 422, "unknown-key", "/inputs/0/colour"),
        ({"inputs": [GOOD], "outputs": [{"name": "x"}]}, 422, "unknown-name", "/outputs/0/name"),
        ({"inputs": [GOOD], "outputs": 3}, 422, "bad-request", "/outputs"),
        ({"inputs": [GOOD], "id": 3}, 422, "bad-request", "/id"),
        ({"inputs": [GOOD], "parameters": 3}, 422, "bad-request", "/parameters"),
        ({"inputs": [BINARY]}, 400, "malformed", None),
    ],
)
def test_what_is_wrong_in_a_body_is_told_with_its_place(service, prefix: str, body, status, code, pointer) -> None:
    reply = infer(service, f"{prefix}_mlp", json=body)
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (status, code), problem
    assert reply.headers["content-type"] == "application/json"
    assert problem["error"] == problem["detail"]
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b'{"inputs": [NaN]}', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"{}", {LENGTH: "x"}, 400),
        (b"{}", {LENGTH: "-1"}, 400),
        (b"{}", {LENGTH: "3"}, 400),
        (b"{}", {LENGTH: "9" * 40}, 400),
        (b"123", {LENGTH: "0"}, 422),
        (json.dumps({"inputs": [GOOD]}).encode() + b"rest", {LENGTH: str(len(json.dumps({"inputs": [GOOD]})))}, 400),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0) + b"more", {"Content-Encoding": "gzip"}, 400),
        (b"{}", {"Content-Encoding": "br"}, 415),
    ],
)
def test_bytes_that_are_not_what_they_claim_are_refused(service, prefix: str, content, headers, status) -> None:
    reply = infer(service, f"{prefix}_mlp", content=content, headers=headers)
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]


def test_addresses_and_methods_that_are_not_there_are_told_as_the_clients_read_it(service, prefix: str) -> None:
    for method, path, status in (
        ("GET", "/v2/nothing", 404),
        ("GET", f"/v2/models/{prefix}_mlp/infer", 405),
        ("POST", "/v2/models", 405),
        ("GET", "/v2/models/a%00b", 404),
        ("POST", "/v2/models/a%2Fb/infer", 404),
    ):
        reply = service.request(method, path)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json"), path
        assert reply.json()["error"]


def test_outputs_that_the_protocol_has_no_datatype_for_are_refused(service, fresh_name) -> None:
    name = fresh_name()
    create(service, name, {"inputs": ["x"], "forward": "return torch.complex(x, x)"})
    reply = infer(service, name, json={"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]})
    assert (reply.status_code, reply.json()["code"]) == (406, "not-acceptable")


def test_keys_workspaces_and_limits_hold_here_too(tmp_path) -> None:
    database = ("--data-dir", str(tmp_path / "data"))
    small = {"MODEL_LAB_JSON_BODY_BYTES": "100000", "MODEL_LAB_BODY_BYTES": "200000"}
    with start_service(tmp_path, env=small) as running, running.client() as client:
        making = [("ours", "ours", "write"), ("theirs", "theirs", "write"), ("reader", "ours", "read")]
        ours, theirs, reader = (
            bearer(make_key(database, "--name", name, "--workspace", workspace, "--role", role))
            for name, workspace, role in making
        )
        made = {"name": "mlp", "architecture": MLP.architecture}
        assert client.post("/v1/networks", json=made, headers=ours).status_code == 201
        for headers, status in ((ours, 200), (reader, 200), (theirs, 404), ({}, 401)):
            reply = client.post("/v2/models/mlp/infer", json=body_of(MLP), headers=headers)
            assert reply.status_code == status, reply.text
            assert (status == 200) != ("error" in reply.json())
        assert client.get("/v2/models", headers=reader).json() == {"models": ["mlp"]}
        assert client.get("/v2/models", headers=theirs).json() == {"models": []}
        assert client.post("/v2/repository/index", headers=theirs).json() == []
        assert client.get("/v2/models/stats", headers=theirs).json() == {"model_stats": []}
        assert [entry["name"] for entry in client.get("/v2/models/stats", headers=ours).json()["model_stats"]] == [
            "mlp"
        ]
        assert client.post("/v2/repository/models/mlp/unload", headers=reader).status_code == 403
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}
        assert client.get("/v2").status_code == 401

        def status_of(content: bytes, **headers: str) -> int:
            return infer(client, "mlp", content=content, headers=ours | headers).status_code

        spaces = json.dumps(body_of(MLP)).encode().ljust(100_001)
        packed = {"Content-Encoding": "gzip"}
        assert status_of(spaces[:-1]) == 200
        assert status_of(spaces) == 413
        assert status_of(gzip.compress(spaces[:-1]), **packed) == 200
        assert status_of(gzip.compress(spaces), **packed) == 413
        zeros = {LENGTH: "0"}
        assert status_of(bytes(200_000), **zeros) == 200
        assert status_of(bytes(200_080), **zeros) == 413
        assert status_of(gzip.compress(bytes(200_080)), **zeros, **packed) == 413
