"""`/metrics` and traces of a real service, and the dashboard that shows the former."""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.pages import ROOT
from tests.laboratory import create, run
from tests.service import start_service

DASHBOARD = ROOT / "docker" / "grafana" / "model-lab.json"
NAME = re.compile(r"\b(?:model_lab|process)_\w+")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A client of a service of its own, with room for one of two networks on its device."""
    folder = tmp_path_factory.mktemp("metrics")
    with start_service(folder, env={"MODEL_LAB_RESIDENT_BYTES": "50000"}) as service, service.client() as client:
        for name in ("first", "second"):
            create(client, name, "Linear(50, 200)")
            run(client, name, [[0.0] * 50])
        client.get("/v1/networks/first")
        client.get("/nowhere/secret-name")
        yield client


def samples(client: httpx.Client) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample by its name."""
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(reply.text):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(found, name: str, **labels: str) -> float:
    [one] = [number for given, number in found[name] if labels.items() <= given.items()]
    return one


def test_requests_are_counted_and_timed_by_their_route(watched):
    before = samples(watched)
    forward = {"method": "POST", "route": "/v1/networks/{name}/forward"}
    for _ in range(3):
        run(watched, "second", [[0.0] * 50])
    watched.head("/v1/networks/first")
    watched.post("/v1/networks/none/forward", json={"inputs": [1]})
    after = samples(watched)
    counted = "model_lab_requests_total"
    assert value(after, counted, **forward, status="200") == value(before, counted, **forward, status="200") + 3
    assert value(after, counted, **forward, status="404") == 1
    assert value(after, counted, method="HEAD", route="/v1/networks/{name}", status="200") == 1
    timed = "model_lab_request_seconds_count"
    assert value(after, timed, **forward) == value(before, timed, **forward) + 4
    assert value(after, "model_lab_request_seconds_bucket", **forward, le="+Inf") == value(after, timed, **forward)
    assert value(after, "model_lab_request_seconds_sum", **forward) > 0


def test_workers_devices_jobs_and_what_is_stored_are_told(watched):
    found = samples(watched)
    cpu = {"device": "cpu:0"}
    assert value(found, "model_lab_worker_ready", **cpu, lane="requests") == 1
    assert value(found, "model_lab_queue", **cpu, lane="requests") <= 1
    assert value(found, "model_lab_tasks_total", **cpu, lane="requests") >= 4
    assert value(found, "model_lab_worker_restarts_total", **cpu, lane="requests") == 0
    assert value(found, "model_lab_residents", **cpu) == 1
    assert 40_000 < value(found, "model_lab_resident_bytes", **cpu) <= 50_000
    assert value(found, "model_lab_resident_budget_bytes", **cpu) == 50_000
    assert value(found, "model_lab_loads_total", **cpu) >= 2
    assert value(found, "model_lab_evictions_total", **cpu) >= 1
    assert value(found, "model_lab_device_memory_total_bytes", **cpu) > 2**28
    assert 0 <= value(found, "model_lab_device_busy", **cpu) <= 1
    assert value(found, "model_lab_jobs", state="queued") == 0
    assert value(found, "model_lab_networks") == 2
    assert value(found, "model_lab_chunks") >= 2
    assert value(found, "model_lab_database_bytes") > 80_000
    assert value(found, "process_cpu_seconds_total") > 0


def test_no_label_is_what_a_client_wrote(watched):
    watched.request("GET", "/v1/networks/a-name-of-mine")
    watched.request("PROPFIND", "/v1/networks")
    for name, values in samples(watched).items():
        for labels, _ in values:
            assert set(labels) <= {"method", "route", "status", "le", "worker", "device", "lane", "state"}, name
            for label in labels.values():
                assert not re.search(r"secret|mine|first|second|PROPFIND", label), (name, labels)


def test_openmetrics_is_written_for_those_who_ask_for_it(watched):
    reply = watched.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert any(family.name == "model_lab_requests" for family in read_openmetrics(reply.text))


def test_every_metric_of_the_dashboard_is_one_that_is_told(watched):
    text = watched.get("/metrics").text
    told = set(samples(watched)) | set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))  # a CPU has no temperature
    dashboard = json.loads(DASHBOARD.read_text())
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts += [variable["query"] for variable in dashboard["templating"]["list"]]
    assert len(texts) > 20
    shown = {name for words in texts for name in NAME.findall(words)}
    assert shown - told == set()
    ours = {name for name in told if name.startswith("model_lab") and not name.endswith(("_seconds", "_sum", "_count"))}
    assert ours - shown == set(), "a figure that nobody sees"


class Collector(ThreadingHTTPServer):
    """Takes what OpenTelemetry's exporter sends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[object] = []


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


def test_traces_are_sent_when_asked_for_below_the_clients_own(tmp_path):
    collector = Collector()
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{collector.server_port}"
    env = {"MODEL_LAB_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": address}
    trace = "0af7651916cd43dd8448eb211c80319c"
    with start_service(tmp_path, env=env) as service, service.client() as client:
        create(client, "net", "Linear(2, 2)")
        parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-request-id": "the-id"}
        reply = client.post("/v1/networks/net/forward", json={"inputs": [[1, 2]]}, headers=parent)
        assert reply.status_code == 200
    collector.shutdown()
    mine = [span for span in collector.spans if span.trace_id.hex() == trace]
    named = {span.name: span for span in mine}
    assert set(named) == {"POST /v1/networks/{name}/forward", "RunForward"}
    request = named["POST /v1/networks/{name}/forward"]
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert named["RunForward"].parent_span_id == request.span_id
    attributes = {item.key: item.value for item in request.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["request_id"].string_value == "the-id"
