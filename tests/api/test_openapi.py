"""The OpenAPI document: complete, free of loose ends, and its examples work in the order they stand in."""

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service import start_service

METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document(service) -> dict[str, Any]:
    return service.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()  # in the order they stand in, which is that of reading
        if method in METHODS
    ]


def walk(value: Any, at: str = "#"):
    yield at, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{at}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, f"{at}/{index}")


def test_it_is_openapi_3_1_with_a_title_and_a_version(document):
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Model Lab"
    assert document["info"]["version"]


def test_every_operation_has_an_id_of_its_own_a_summary_a_description_and_a_tag(document):
    ids = []
    tags = [tag["name"] for tag in document["tags"]]
    for path, method, operation in operations(document):
        ids.append(operation["operationId"])
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"]), operation["operationId"]
        assert operation["summary"], path
        assert operation["description"], path
        assert len(operation["tags"]) == 1, (method, path)
        assert operation["tags"][0] in tags
    assert len(ids) == len(set(ids))
    assert len(ids) > 25


def test_operations_stand_in_the_order_of_the_tags(document):
    tags = [tag["name"] for tag in document["tags"]]
    seen = [tags.index(operation["tags"][0]) for _, _, operation in operations(document)]
    assert seen == sorted(seen)


def test_every_operation_tells_its_problems_as_problem_documents(document):
    for path, method, operation in operations(document):
        responses = operation["responses"]
        assert "default" in responses, (method, path)
        for status, response in responses.items():
            assert response["description"], (method, path, status)
            if status == "default" or int(status) >= 400:
                plain = path.split("/")[1] == "v2"  # the clients of its protocol read nothing else
                (media_type,) = response["content"]
                schema = response["content"][media_type]["schema"]
                assert media_type == ("application/json" if plain else "application/problem+json")
                assert schema == {"$ref": f"#/components/schemas/{'InferenceProblem' if plain else 'Problem'}"}


def test_every_good_response_but_an_empty_one_has_a_schema(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status == "204" or not status.startswith("2"):
                continue
            assert response["content"], (method, path, status)
            for media_type, content in response["content"].items():
                assert content["schema"], (method, path, media_type)


def test_every_operation_with_a_body_has_an_example_of_it_and_every_one_a_curl_line(document):
    for path, method, operation in operations(document):
        assert operation["x-codeSamples"], (method, path)
        assert "curl" in operation["description"]
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["examples"], (method, path)
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (method, path, parameter["name"])
            if parameter["in"] == "path":
                assert parameter["examples"], (method, path, parameter["name"])


def test_no_reference_dangles_and_no_component_is_unused(document):
    used = set()
    for at, value in walk(document):
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            name = value["$ref"].removeprefix("#/components/schemas/")
            assert name in document["components"]["schemas"], (at, value["$ref"])
            used.add(name)
    assert set(document["components"]["schemas"]) == used


def test_no_schema_is_empty_and_nothing_of_fastapis_own_errors_is_left(document):
    for at, value in walk(document):
        if at.endswith(("/schema", "/items")) and "/example" not in at and "/properties/items" not in at:
            assert value, at
        assert value != "\0null", at
        assert not (isinstance(value, dict) and "x-schema" in value), at
    assert "HTTPValidationError" not in json.dumps(document)


def test_examples_keep_their_nulls(document):
    check = document["paths"]["/v1/architectures/check"]["post"]
    assert check["responses"]["200"]["content"]["application/json"]["example"]["note"] is None


def test_paths_of_the_document_are_those_that_are_served(service, document):
    for path, method, _ in operations(document):
        filled = re.sub(r"\{[^}]*\}", "x", path)
        assert method.upper() in service.request("PROPFIND", filled).headers["allow"].split(", ")


def request_of(line: str) -> httpx.Request:
    """Reads a curl line as the request that it sends."""
    words = shlex.split(line)
    assert words[:2] == ["curl", "-sS"]
    method, url, headers, body = None, None, {}, None
    rest = iter(words[2:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        elif word == "-o":
            next(rest)
        else:
            url = word
    return httpx.Request(method or ("POST" if body else "GET"), url, headers=headers, content=body)


def test_every_curl_line_works_on_a_fresh_service_in_the_order_of_the_document(tmp_path):
    with start_service(tmp_path) as fresh, fresh.client() as client:
        client.timeout = httpx.Timeout(180)  # an export begins with reading much code
        document = client.get("/openapi.json").json()
        for path, method, operation in operations(document):
            for sample in operation["x-codeSamples"]:
                request = request_of(sample["source"])
                assert f"http://{urlsplit(fresh.base_url).netloc}/" in sample["source"]
                response = client.send(request)
                assert response.is_success, (method, path, response.text)
                assert str(response.status_code) in operation["responses"]
                if response.content:
                    check_keys(document, operation["responses"][str(response.status_code)], response)


def check_keys(document: dict[str, Any], described: dict[str, Any], response: httpx.Response) -> None:
    """The reply has the media type that is told, and the members that its schema requires."""
    media_type = response.headers["content-type"].partition(";")[0]
    schema = described["content"][media_type]["schema"]
    if media_type != "application/json" and not media_type.endswith("+json"):
        return
    reply = response.json()
    if schema.get("type") == "array":
        schema, reply = schema["items"], reply[0]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    assert set(schema.get("required", ())) <= set(reply), response.request.url
    if "properties" in schema and schema.get("title") != "Architecture" and "anyOf" not in schema:
        assert schema.get("additionalProperties") or set(reply) <= set(schema["properties"]), response.request.url
    for header in described.get("headers", {}):
        assert header in response.headers or header == "Link"


def test_the_document_has_a_tag_and_is_not_sent_twice(service):
    first = service.get("/openapi.json")
    again = service.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
