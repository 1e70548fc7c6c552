"""Jobs over HTTP: accepted at once, followed, cancelled, and the result is what the answer in place would have been."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.api.problem import check_problem

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
