"""`POST /v2/models/{name}[/versions/{version}]/infer` of the Open Inference Protocol, as a plain ASGI application.

As lean as a forward: bytes in, bytes out; a worker reads the JSON and the tensors, whatever the Content-Type says or
does not say. A reply is packed for a client that asks for gzip or deflate alone: lists of several are what libraries
send by themselves, and packing tensors costs more than a fast network saves. `app.api.edge` sends matching requests
here and renders what is raised. Everything else of the protocol, and its description, is in
`app.api.routes.inference_v2`.
"""

import re

from starlette.types import Receive, Scope, Send

from app.api.bodies import read_body
from app.errors import Malformed
from app.services.inference import infer
from app.services.lab import Lab

INFER_ADDRESS = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
LENGTH_HEADER = b"inference-header-content-length"
PLAIN = frozenset({b"", b"identity"})
PACKED = {b"gzip": "gzip", b"deflate": "deflate"}  # Accept-Encoding → what a reply is packed in


async def infer_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one inference; `scope["state"]["lab"]` holds the services."""
    lab: Lab = scope["state"]["lab"]
    length: int | None = None
    encoding, accepted = b"", b""
    for name, value in scope["headers"]:
        if name == LENGTH_HEADER:
            length = _length(value)
        elif name == b"content-encoding":
            encoding = value.strip().lower()
        elif name == b"accept-encoding":
            accepted = value.strip().lower()
    address = INFER_ADDRESS.fullmatch(scope["path"])
    assert address is not None, "the edge sends no others here"
    most_bytes = lab.settings.json_body_bytes if length is None else lab.settings.body_bytes
    packed = PACKED.get(accepted, "")
    reply = await infer(
        lab,
        address[1],
        address[2],
        body=await read_body(receive, scope["headers"], most_bytes),
        encoding="" if encoding in PLAIN else encoding.decode("latin-1"),
        header_length=length,
        reply_encoding=packed,
    )
    headers = [
        (b"content-type", b"application/json" if reply.header_length is None else b"application/octet-stream"),
        (b"content-length", b"%d" % len(reply.body)),
    ]
    if reply.header_length is not None:
        headers.append((LENGTH_HEADER, b"%d" % reply.header_length))
    if packed:
        headers += [(b"content-encoding", packed.encode()), (b"vary", b"accept-encoding")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _length(value: bytes) -> int:
    text = value.strip()
    if not text.isdigit() or len(text) > 18:
        raise Malformed("Inference-Header-Content-Length is a number of bytes.")
    return int(text)
