"""What every route does with a request that is wrong on the wire: bodies, headers, addresses, methods."""

import gzip
import http.client
import json
import re

import httpx
import pytest

from tests.api.problem import check_problem

GOOD = b'{"architecture": "Linear(1, 1)"}'


def post(service: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.post("/v1/architectures/check", content=body, headers=given)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"architecture": }', "column 18"),
        (b'{\n "architecture": [1,\n', "line"),
        (b'{"architecture": NaN}', "line 1"),
        (b'{"architecture": "a", "architecture": "b"}', "architecture"),
        (b'{"architecture": "\\ud800"}', "line 1"),
        (b'{"architecture": "\\u0000"}', "NUL"),
        (b'{"architecture": "\xff"}', ""),
        (b'{"architecture": 1e999}', ""),
        (b"[" * 100_000, ""),
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello", ""),
        (b"\xef\xbb\xbf{}", ""),
    ],
)
def test_json_that_cannot_be_read_is_malformed_and_says_where(service, body, place):
    problem = check_problem(post(service, body, content_type="application/json"), 400, "malformed")
    assert place in problem["detail"]


def test_json_that_nests_too_deep_exceeds_a_limit_and_says_where(service):
    body = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    problem = check_problem(post(service, body, content_type="application/json"), 422, "limit-exceeded", "")
    assert "column 5122: at most 1024 levels" in problem["detail"]


@pytest.mark.parametrize("digits", [b"9" * 20, b"9" * 5000])
def test_an_integer_beyond_64_bits_exceeds_a_limit(service, digits):
    body = b'{"architecture": {"type": "Linear",\n "args": [' + digits + b", 2]}}"
    problem = check_problem(post(service, body, content_type="application/json"), 422, "limit-exceeded", "")
    assert "line 2, column 11: the integer does not fit into 64 bits" in problem["detail"]


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null", b"true"])
def test_json_that_is_no_object_is_told_so(service, body):
    problem = check_problem(post(service, body, content_type="application/json"), 422, "invalid-request", "")
    assert "object" in problem["detail"]


def test_a_body_without_a_content_type_is_read_as_json(service):
    response = post(service, GOOD)
    assert "content-type" not in response.request.headers
    assert response.status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF8"]
)
def test_json_is_read_under_each_of_its_spellings(service, kind):
    assert post(service, GOOD, content_type=kind).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/xml",
        "json",
        "",
        ";",
    ],
)
def test_another_content_type_is_unsupported(service, kind):
    check_problem(post(service, GOOD, content_type=kind), 415, "unsupported-media-type")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_packed_body_is_unsupported_wherever_it_is_sent(service, method):
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    address = {"POST": "/v1/architectures/check", "PUT": "/v1/artifacts/x", "PATCH": "/v1/networks/x"}[method]
    packed = service.request(method, address, content=gzip.compress(GOOD), headers=headers)
    check_problem(packed, 415, "unsupported-media-type")
    plain = service.post("/v1/architectures/check", content=GOOD, headers=headers | {"Content-Encoding": "identity"})
    assert plain.status_code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(service):
    response = post(service, b'{"architecture": "' + b"x" * (5 * 2**20) + b'"}', content_type="application/json")
    problem = check_problem(response, 413, "too-large")
    assert problem["limit_bytes"] == 4 * 2**20 + 65536


def test_a_body_that_is_too_large_is_refused_without_a_content_length_too(service):
    def chunks():
        for _ in range(100):
            yield b" " * 2**16

    check_problem(service.post("/v1/architectures/check", content=chunks()), 413, "too-large")


def test_an_architecture_past_its_limit_is_refused_in_a_body_within_its_own(service):
    body = json.dumps({"architecture": ["x" * (4 * 2**20)]}).encode()
    check_problem(post(service, body, content_type="application/json"), 422, "limit-exceeded", "/architecture")


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/v1",
        "/v1/networks/",
        "/v1/nets",
        "/v1//networks",
        "/docs/",
        "/static/x/swagger-ui.css",
        "/static/../main.py",
        "/static/%2e%2e/main.py",
        "/v1/networks/a/b/c",
        "/%00",
        "/%FF%FE",
        "/%F0%9F%98%80",
        "/" + "a" * 20_000,
    ],
)
def test_an_unknown_address_is_a_not_found_problem(service, path):
    check_problem(service.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/networks", {"GET", "HEAD", "POST"}),
        ("POST", "/v1/networks/x", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("GET", "/v1/networks/x/forward", {"POST"}),
        ("OPTIONS", "/v1/networks/x/device", {"PUT"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("PROPFIND", "/v1/blocks/x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("PUT", "/docs", {"GET", "HEAD"}),
        ("TRACE", "/v1/workers", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_an_address_does_not_have_is_refused_with_those_it_has(service, method, path, allowed):
    response = service.request(method, path)
    check_problem(response, 405, "method-not-allowed")
    assert set(response.headers["allow"].split(", ")) == allowed


def test_an_unknown_query_parameter_is_refused_with_a_near_one(service):
    problem = check_problem(service.get("/v1/networks?page_sise=3"), 422, "unknown-key")
    assert "`page_size`" in problem["detail"]
    check_problem(service.get("/v1/devices?verbose=1"), 422, "unknown-key")
    check_problem(service.get("/v1/networks?" + "&".join(f"a{i}=1" for i in range(3000))), 422, "unknown-key")


@pytest.mark.parametrize("query", ["original=maybe", "original=%00", "original=%FF"])
def test_a_query_value_of_the_wrong_kind_is_named(service, query):
    problem = check_problem(service.get(f"/v1/networks/x/architecture?{query}"), 422, "invalid-request")
    assert "original" in problem["detail"]


@pytest.mark.parametrize(
    "path", ["jobs?kind=%00", "jobs?network=a%00b", "networks/x/state_dict?prefix=%00", "networks?page_token=%00"]
)
def test_a_query_value_with_a_nul_is_refused(service, path):
    assert "NUL" in check_problem(service.get(f"/v1/{path}"), 422, "invalid-request")["detail"]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 10**30])
def test_a_revision_that_no_database_counts_to_is_refused(service, fresh_name, number):
    name = fresh_name()
    assert service.post("/v1/networks", json={"name": name, "architecture": "Linear(1, 1)"}).status_code == 201
    response = service.get(f"/v1/networks/{name}/state_dict", params={"revision": number})
    check_problem(response, 422, "invalid-request")


def test_at_most_twenty_errors_are_told_and_the_rest_is_counted(service):
    body = {"architecture": "Linear(1, 1)", "input_shapes": ["x"] * 32}
    problem = check_problem(service.post("/v1/architectures/check", json=body), 422, "invalid-request")
    assert len(problem["errors"]) == 20
    assert problem["errors_left_out"] >= 12


def test_what_was_sent_never_comes_back_in_a_problem(service):
    secret = "hunter2" * 50
    for body in ({"architecture": 1, "name": [secret]}, {"architecture": "Linear(1, 1)", "labels": {"a": [secret]}}):
        response = service.post("/v1/networks", json=body)
        assert response.status_code == 422
        assert "hunter2" not in response.text


def test_a_very_long_unknown_field_is_cut_short(service):
    response = service.post("/v1/networks", json={"architecture": "Linear(1, 1)", "k" * 100_000: 1})
    check_problem(response, 422, "unknown-key")
    assert len(response.content) < 3_000


def test_every_reply_has_an_id_and_a_clients_own_is_kept(service):
    first, second = service.get("/healthz"), service.get("/healthz")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert service.get("/healthz", headers={"X-Request-ID": "a-B.1:2"}).headers["x-request-id"] == "a-B.1:2"
    problem = check_problem(service.get("/nope", headers={"X-Request-ID": "mine"}), 404, "not-found")
    assert problem["request_id"] == "mine"


@pytest.mark.parametrize("value", ["a b", "x" * 129, "<script>", ""])
def test_a_clients_id_that_is_no_plain_word_is_replaced(service, value):
    assert re.fullmatch(r"[0-9a-f-]+", service.get("/healthz", headers={"X-Request-ID": value}).headers["x-request-id"])


def test_a_host_that_is_not_this_machines_is_refused(service):
    problem = check_problem(service.get("/v1/networks", headers={"Host": "evil.example"}), 403, "unknown-host")
    assert "127.0.0.1" in problem["detail"]
    for host in ("localhost", "localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert service.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_page_of_another_site_may_not_change_things(service):
    headers = {"Sec-Fetch-Site": "cross-site"}
    check_problem(service.post("/v1/architectures/check", content=GOOD, headers=headers), 403, "cross-site-request")
    check_problem(service.post("/v1/networks/x/forward", content=b"{}", headers=headers), 403, "cross-site-request")
    assert service.get("/healthz", headers=headers).status_code == 200
    same = service.post("/v1/architectures/check", content=GOOD, headers={"Sec-Fetch-Site": "same-origin"})
    assert same.status_code == 200


def test_nothing_is_told_to_other_origins(service):
    response = service.get("/healthz", headers={"Origin": "https://evil.example"})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "server" not in response.headers


@pytest.mark.parametrize(
    "target", ["/v1/networks/%zz", "/v1/networks/%", "/v1/networks/\x7f", "*", "/v1/networks/a?%zz"]
)
def test_a_broken_address_is_answered_without_an_accident(service, target):
    connection = http.client.HTTPConnection(service.base_url.host, service.base_url.port, timeout=10)
    connection._validate_path = lambda _: None  # what an ill-behaved client would send
    connection.request("GET", target)
    assert connection.getresponse().status in (400, 404, 422)
    connection.close()


def test_an_upgrade_to_a_websocket_is_not_an_accident(service):
    response = service.get(
        "/v1/networks",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        },
    )
    assert response.status_code in (200, 400, 403, 404, 426)
