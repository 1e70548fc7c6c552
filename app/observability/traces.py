"""Traces by OpenTelemetry: sending them to a collector, and a span around something that takes a while.

Only where the operator asks for traces is this imported: its packages are the extra `otel`. Where they go and how many
are kept, OpenTelemetry's own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, ...).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

SERVICE = "model-lab"


class Traces:
    """Makes spans and sends them, in the background."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE)

    @contextmanager
    def request(self, headers: Mapping[str, str], method: str) -> Iterator[Span]:
        """The span of a request, below the one that its `traceparent` names. Named after its route at the end."""
        with self._tracer.start_as_current_span(
            method, context=extract(headers), kind=SpanKind.SERVER, attributes={"http.request.method": method}
        ) as span:
            yield span

    @contextmanager
    def task(self, name: str, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
        """The span of a task that is given to a worker, below the request's."""
        with self._tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes) as span:
            yield span

    def answered(self, span: Span, method: str, route: str, status: int, request_id: str) -> None:
        """Says of a request's span how it was answered."""
        span.update_name(f"{method} {route}" if route else method)
        span.set_attributes({"http.route": route, "http.response.status_code": status, "request_id": request_id})
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()
