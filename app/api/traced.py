"""The edge with a trace of each request around it. Wired by `app.main` where the operator asks for traces."""

from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from app.api.edge import Edge, route_template

if TYPE_CHECKING:  # its packages need not be installed
    from app.observability.traces import Traces


class TracedEdge(Edge):
    """Answers as the edge does, and makes a span of each request."""

    def __init__(self, *arguments: Any, traces: "Traces", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._traces.request(headers, scope["method"]) as span:
            await super().__call__(scope, receive, sent)
            request_id = scope["state"]["request_id"]
            self._traces.answered(span, scope["method"], route_template(scope), status, request_id)
