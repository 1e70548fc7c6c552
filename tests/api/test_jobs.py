"""Jobs over HTTP: accepted at once, followed, cancelled, and the result is what the answer in place would have been."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load, save

from tests.api.problem import check_problem
from tests.laboratory import NPY, SAFETENSORS, from_npy, npy

LATER = {"Prefer": "respond-async"}
ONES = {"rules": [{"parameters": {"weight": "ones_()"}}]}
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Event:
    number: int
    type: str
    data: dict[str, Any]


def read_events(client: httpx.Client, url: str, after: int | None = None) -> Iterator[Event]:
    """The events of a stream as they come."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", f"{url}/events", headers=headers, timeout=PATIENCE_SECONDS) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in reply.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "id" in fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields = {}


def states(events: list[Event]) -> list[str]:
    return [event.data["state"] for event in events if event.type == "state"]


def wait_for(client: httpx.Client, url: str, *wanted: str) -> dict[str, Any]:
    """The job as soon as it is in one of these states."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while (job := client.get(url).json())["state"] not in wanted:
        assert time.monotonic() < give_up, job
        time.sleep(0.02)
    return job


def ended(client: httpx.Client, url: str) -> dict[str, Any]:
    return wait_for(client, url, "succeeded", "failed", "cancelled")


def accepted(reply: httpx.Response) -> str:
    """The address of the job that a request became."""
    assert reply.status_code == 202, reply.text
    assert reply.headers["preference-applied"] == "respond-async"
    url = reply.headers["location"]
    assert reply.json()["links"]["self"] == url == f"/v1/jobs/{reply.json()['id']}"
    return url


@pytest.fixture
def network(service, fresh_name) -> str:
    name = fresh_name("jobs")
    assert service.post("/v1/networks", json={"name": name, "architecture": ["Linear(4, 3)"]}).status_code == 201
    return f"/v1/networks/{name}"


def test_an_initialisation_as_a_job_does_and_says_what_it_does_in_place(service, network):
    url = accepted(service.post(f"{network}/initialize", json=ONES, headers=LATER))
    job = ended(service, url)
    assert (job["state"], job["kind"], job["attempts"], job["error"]) == ("succeeded", "initialize", 1, None)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    later = service.get(f"{url}/result")
    in_place = service.post(f"{network}/initialize", json=ONES)
    assert (later.status_code, later.headers["etag"]) == (200, '"2"')
    assert later.json() == {**in_place.json(), "revision": 2}
    assert later.headers["content-type"] == in_place.headers["content-type"]
    assert service.get(f"{network}/parameters/0.weight").json()["value"]["data"] == [[1.0] * 4] * 3


def test_a_job_that_fails_has_the_problem_of_the_answer_in_place_as_its_result(service, network):
    wrong = {"rules": [{"parameters": {"weight": "normal_(sdt=1)"}}]}
    url = accepted(service.post(f"{network}/initialize", json=wrong, headers=LATER))
    job = ended(service, url)
    later, in_place = service.get(f"{url}/result"), service.post(f"{network}/initialize", json=wrong)
    check_problem(later, in_place.status_code, in_place.json()["code"])
    for part in ("code", "detail", "errors", "status", "title", "type"):
        assert later.json()[part] == in_place.json()[part] == job["error"][part]
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert states(list(read_events(service, url))) == ["queued", "running", "failed"]


def test_the_same_key_gives_the_same_job_and_another_body_is_refused(service, network, fresh_name):
    headers = {**LATER, "Idempotency-Key": fresh_name("key")}
    first = service.post(f"{network}/initialize", json=ONES, headers=headers)
    again = service.post(f"{network}/initialize", json=ONES, headers=headers)
    assert accepted(first) == accepted(again)
    ended(service, accepted(first))
    assert service.get(network).json()["revision"] == 2
    other = service.post(f"{network}/initialize", json={**ONES, "seed": 1}, headers=headers)
    check_problem(other, 422, "idempotency-key-reused")


def test_what_is_wrong_at_once_is_told_at_once(service, network):
    check_problem(service.post(f"{network}x/initialize", json=ONES, headers=LATER), 404, "not-found")
    stale = service.post(f"{network}/initialize", json=ONES, headers={**LATER, "If-Match": '"7"'})
    check_problem(stale, 412, "stale-revision")
    check_problem(service.post(f"{network}/initialize", json={}, headers=LATER), 422, "invalid-request")


@pytest.mark.parametrize(
    ("prefer", "is_later"),
    [
        ("respond-async", True),
        ("wait=10, Respond-Async", True),
        ('handling=lenient; x="y", respond-async;foo', True),
        ("return=minimal", False),
        ("respond-asynchronously", False),
        ("", False),
    ],
)
def test_prefer_is_a_list_of_wishes_and_others_are_passed_over(service, network, prefer, is_later):
    reply = service.post(f"{network}/initialize", json=ONES, headers={"Prefer": prefer})
    assert reply.status_code == (202 if is_later else 200)


def test_events_come_as_they_happen_end_with_the_job_and_go_on_where_one_stopped(service, network):
    url = accepted(service.post(f"{network}/initialize", json=ONES, headers=LATER))
    seen = list(read_events(service, url))
    assert states(seen) == ["queued", "running", "succeeded"]
    assert [event.number for event in seen] == sorted({event.number for event in seen})
    assert all(event.data["at"].endswith("Z") for event in seen)
    assert list(read_events(service, url, after=seen[0].number)) == seen[1:]
    assert service.get(f"{url}/events", headers={"Last-Event-ID": str(seen[-1].number)}).status_code == 204
    check_problem(service.get(f"{url}/events", headers={"Last-Event-ID": "x"}), 400, "malformed")
    head = service.head(f"{url}/events")
    assert (head.status_code, head.content) == (200, b"")


def test_a_job_can_be_deleted_when_it_has_ended(service, network):
    url = accepted(service.post(f"{network}/initialize", json=ONES, headers=LATER))
    ended(service, url)
    assert service.delete(url).status_code == 204
    for reply in (service.get(url), service.get(f"{url}/result"), service.get(f"{url}/events"), service.delete(url)):
        check_problem(reply, 404, "not-found")


@pytest.mark.parametrize("job_id", ["0", "999999999", "-1", "x", "1.0", "9" * 40, "%00", "٣"])
def test_an_id_that_is_none_is_not_found(service, job_id):
    for path in ("", "/result", "/events"):
        check_problem(service.get(f"/v1/jobs/{job_id}{path}"), 404, "not-found")
    check_problem(service.post(f"/v1/jobs/{job_id}/cancel"), 404, "not-found")


def test_the_list_has_the_newest_first_and_can_be_narrowed(service, network):
    urls = [accepted(service.post(f"{network}/initialize", json=ONES, headers=LATER)) for _ in range(3)]
    for url in urls:
        ended(service, url)
    name = network.rpartition("/")[2]
    listed = service.get("/v1/jobs", params={"network": name, "state": "succeeded", "kind": "initialize"}).json()
    assert [item["links"]["self"] for item in listed["items"]] == urls[::-1]
    first = service.get("/v1/jobs", params={"network": name, "page_size": 2}).json()
    rest = service.get(
        "/v1/jobs", params={"network": name, "page_size": 2, "page_token": first["next_page_token"]}
    ).json()
    assert first["items"] + rest["items"] == listed["items"]
    assert service.get("/v1/jobs", params={"network": name, "state": "queued"}).json()["items"] == []
    check_problem(service.get("/v1/jobs?state=done"), 422, "invalid-request")


X = [[0.5, -1.0, 2.0, 0.25], [1.0, 0.0, 0.0, -3.0]]


def test_a_forward_as_a_job_gives_the_very_bytes_of_the_answer_in_place(service, network):
    body, headers = npy(torch.tensor(X)), {"Content-Type": NPY, "Accept": SAFETENSORS}
    in_place = service.post(f"{network}/forward", content=body, headers=headers)
    url = accepted(service.post(f"{network}/forward", content=body, headers={**headers, **LATER}))
    assert ended(service, url)["kind"] == "forward"
    later = service.get(f"{url}/result")
    assert later.content == in_place.content
    for name in ("content-type", "etag", "content-length"):
        assert later.headers[name] == in_place.headers[name]
    in_json = {"inputs": X, "capture": ["0"]}
    url = accepted(service.post(f"{network}/forward", json=in_json, headers=LATER))
    ended(service, url)
    assert service.get(f"{url}/result").content == service.post(f"{network}/forward", json=in_json).content


def test_large_bodies_and_results_are_kept_whole(service, fresh_name):
    name = fresh_name("wide")
    made = service.post(
        "/v1/networks", json={"name": name, "architecture": {"inputs": ["x"], "forward": "return x * 2"}}
    )
    assert made.status_code == 201, made.text
    x = torch.randn(600, 1000)
    url = accepted(
        service.post(f"/v1/networks/{name}/forward?format=npy", content=npy(x), headers={**LATER, "Content-Type": NPY})
    )
    assert ended(service, url)["state"] == "succeeded"
    result = service.get(f"{url}/result")
    assert int(result.headers["content-length"]) == len(result.content)
    assert torch.equal(from_npy(result.content), x * 2)


def test_a_forward_job_that_keeps_its_buffers_makes_a_revision_of_the_head_it_finds(service, fresh_name):
    name = fresh_name("norm")
    network = f"/v1/networks/{name}"
    assert service.post("/v1/networks", json={"name": name, "architecture": ["BatchNorm1d(4)"]}).status_code == 201
    asked = {"inputs": X, "mode": "train", "update_buffers": True}
    url = accepted(service.post(f"{network}/forward", json=asked, headers=LATER))
    ended(service, url)
    later = service.get(f"{url}/result")
    assert (later.status_code, later.headers["etag"], later.json()["revision"]) == (200, '"2"', 2)
    assert service.get(f"{network}/parameters/0.num_batches_tracked").json()["value"]["data"] == 1
    stale = accepted(service.post(f"{network}/forward", json=asked, headers={**LATER, "If-Match": '"1"'}))
    ended(service, stale)
    check_problem(service.get(f"{stale}/result"), 412, "stale-revision")


def test_a_key_on_a_forward_gives_the_same_job_for_the_same_query_and_body(service, network, fresh_name):
    headers = {**LATER, "Idempotency-Key": fresh_name("key")}
    urls = {accepted(service.post(f"{network}/forward", json={"inputs": X}, headers=headers)) for _ in range(3)}
    assert len(urls) == 1
    other = service.post(f"{network}/forward?seed=1", json={"inputs": X}, headers=headers)
    check_problem(other, 422, "idempotency-key-reused")


def test_a_job_knows_its_network_under_a_new_name_and_fails_when_it_was_deleted(service, fresh_name):
    with_time = {"inputs": ["x"], "forward": ["for i in range(20000):", "    x = x + 1", "return x"]}
    name = fresh_name("slow")
    assert service.post("/v1/networks", json={"name": name, "architecture": with_time}).status_code == 201
    ahead = accepted(service.post(f"/v1/networks/{name}/forward", json={"inputs": [1.0]}, headers=LATER))
    renamed = accepted(service.post(f"/v1/networks/{name}/forward", json={"inputs": [1.0]}, headers=LATER))
    deleted = accepted(service.post(f"/v1/networks/{name}/forward", json={"inputs": [2.0]}, headers=LATER))
    new = fresh_name("renamed")
    assert service.patch(f"/v1/networks/{name}", json={"name": new}).status_code == 200
    ended(service, ahead)
    assert ended(service, renamed)["state"] == "succeeded"
    service.delete(f"/v1/networks/{new}")
    if ended(service, deleted)["state"] == "failed":  # else it was quicker
        check_problem(service.get(f"{deleted}/result"), 404, "not-found")


@pytest.mark.parametrize("prefix", ["", "?prefix=0"])
def test_a_state_dict_is_loaded_by_a_job_as_it_is_in_place(service, network, prefix, fresh_name):
    state = {
        f"{'' if prefix else '0.'}{name}": torch.randn(*shape) for name, shape in (("weight", (3, 4)), ("bias", (3,)))
    }
    headers = {"Content-Type": SAFETENSORS, **LATER, "Idempotency-Key": fresh_name("key")}
    url = accepted(service.put(f"{network}/state_dict{prefix}", content=save(state), headers=headers))
    assert accepted(service.put(f"{network}/state_dict{prefix}", content=save(state), headers=headers)) == url
    assert (ended(service, url)["state"], service.get(url).json()["kind"]) == ("succeeded", "state_dict")
    later = service.get(f"{url}/result")
    assert (later.headers["etag"], later.json()) == (
        '"2"',
        {"revision": 2, "loaded": 2, "missing": [], "unexpected": []},
    )
    assert load(service.get(f"{network}/state_dict{prefix}").content).keys() == state.keys()
    for name, value in load(service.get(f"{network}/state_dict{prefix}").content).items():
        assert torch.equal(value, state[name])


def test_a_state_dict_that_is_sent_again_is_told_of_its_job_though_the_head_has_moved(service, network, fresh_name):
    def put(key: str, value: float) -> httpx.Response:
        content = save({"0.weight": torch.full((3, 4), value), "0.bias": torch.zeros(3)})
        headers = {"Content-Type": SAFETENSORS, **LATER, "If-Match": '"1"', "Idempotency-Key": key}
        return service.put(f"{network}/state_dict", content=content, headers=headers)

    key = fresh_name("key")
    url = accepted(put(key, 1.0))
    assert ended(service, url)["state"] == "succeeded"
    assert accepted(put(key, 1.0)) == url
    check_problem(put(fresh_name("key"), 1.0), 412, "stale-revision")
    check_problem(put(key, 2.0), 422, "idempotency-key-reused")


def test_a_state_dict_that_does_not_fit_is_refused_at_once(service, network):
    headers = {"Content-Type": SAFETENSORS, **LATER}
    wrong = service.put(f"{network}/state_dict", content=save({"0.weight": torch.zeros(3, 5)}), headers=headers)
    check_problem(wrong, 422, "state-dict-mismatch")
    lenient = service.put(
        f"{network}/state_dict?strict=false",
        content=save({"0.bias": torch.ones(3), "more": torch.ones(1)}),
        headers=headers,
    )
    url = accepted(lenient)
    assert ended(service, url)["state"] == "succeeded"
    told = service.get(f"{url}/result").json()
    assert (told["missing"], told["unexpected"], told["loaded"]) == (["0.weight"], ["more"], 1)


def test_a_long_initialisation_tells_how_far_it_is(service, fresh_name):
    name, layers = fresh_name("deep"), ["Linear(400, 400)"] * 16
    assert service.post("/v1/networks", json={"name": name, "architecture": layers}).status_code == 201
    rules = {"rules": [{"module_type": "Linear", "parameters": {"weight": "orthogonal_()"}}]}
    url = accepted(service.post(f"/v1/networks/{name}/initialize", json=rules, headers=LATER))
    fractions = [event.data["fraction"] for event in read_events(service, url) if event.type == "progress"]
    assert fractions
    assert fractions == sorted(set(fractions))
    assert service.get(url).json()["progress"]["fraction"] == fractions[-1] == 1.0
