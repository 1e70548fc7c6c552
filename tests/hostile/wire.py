"""Requests as bytes on the wire: (what it tries, request, statuses that are right, code).

An empty code means that the HTTP parser itself refuses, in plain text, before any of our code runs. Each row is a whole
connection; `HOST` is filled in by the test.
"""

Row = tuple[str, bytes, tuple[int, ...], str]

HOST = b"Host: 127.0.0.1\r\n"
CLOSE = b"Connection: close\r\n\r\n"


def get(path: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = HOST) -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\n" + host + b"".join(line + b"\r\n" for line in headers) + CLOSE


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    typed = (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    return get(path, *typed, *headers, method=b"POST") + body


def chunked(path: bytes, body: bytes) -> bytes:
    return get(path, b"Content-Type: application/json", b"Transfer-Encoding: chunked", method=b"POST") + body


FORWARD = b"/v1/networks/target/forward"
INPUTS = b'{"inputs": [[1, 2]]}'

PATHS: list[Row] = [
    ("a path that climbs", get(b"/../../etc/passwd"), (404,), "not-found"),
    ("a path that climbs by percent", get(b"/v1/networks/..%2f..%2fetc%2fpasswd"), (404,), "not-found"),
    ("a path that climbs by double percent", get(b"/v1/networks/%252e%252e%252f"), (404,), "not-found"),
    ("a path that climbs in docs", get(b"/docs/../../app/settings.py"), (404,), "not-found"),
    ("a path that climbs in static files", get(b"/static/..%2f..%2fsettings.py"), (404,), "not-found"),
    ("a backslash", get(b"/v1/networks/..\\..\\x"), (404,), "not-found"),
    ("a NUL by percent", get(b"/v1/networks/a%00b"), (404,), "not-found"),
    ("a line break by percent", get(b"/v1/networks/a%0d%0aX:%20y"), (404,), "not-found"),
    ("no UTF-8 by percent", get(b"/v1/networks/%ff%fe"), (404,), "not-found"),
    ("a surrogate by percent", get(b"/v1/networks/%ed%a0%80"), (404,), "not-found"),
    ("half a percent", get(b"/v1/networks/%4"), (404,), "not-found"),
    ("a percent of nonsense", get(b"/v1/networks/%zz"), (404,), "not-found"),
    ("an absolute address", get(b"http://169.254.169.254/latest/meta-data"), (404,), "not-found"),
    ("two slashes", get(b"//v1//networks"), (404,), "not-found"),
    ("a slash at the end", get(b"/v1/networks/"), (404,), "not-found"),
    ("a name of 20,000 letters", get(b"/v1/networks/" + b"a" * 20_000), (404, 414), "not-found"),
    ("a parameter by a dunder", get(b"/v1/networks/target/parameters/__class__"), (404,), "not-found"),
    ("a parameter by attributes", get(b"/v1/networks/target/parameters/weight.data"), (404,), "not-found"),
    ("a parameter by a position past the end", get(b"/v1/networks/target/parameters/[99][0]"), (404,), "not-found"),
    ("a parameter by 10**30", get(b"/v1/networks/target/parameters/[" + b"9" * 30 + b"]"), (404,), "not-found"),
    ("a parameter by an open bracket", get(b"/v1/networks/target/parameters/[0"), (404,), "not-found"),
    ("a module by a dunder", get(b"/v1/networks/target/modules/__init__"), (404,), "not-found"),
    ("a module by a call", get(b"/v1/networks/target/modules/forward()"), (404,), "not-found"),
    ("a layer by a dunder", get(b"/v1/catalog/layers/__builtins__"), (404,), "not-found"),
    ("a block by a path", get(b"/v1/blocks/..%2fx"), (404,), "not-found"),
    ("a problem by a path", get(b"/problems/..%2f..%2fx"), (404,), "not-found"),
]

QUERIES: list[Row] = [
    (
        "an index that is code",
        get(b"/v1/networks/target/parameters/weight?index=__import__('os')"),
        (422,),
        "bad-index",
    ),
    ("an index of tensors", get(b"/v1/networks/target/parameters/weight?index=[[0,1]]"), (422,), "bad-index"),
    ("an index past the end", get(b"/v1/networks/target/parameters/weight?index=99"), (422,), "bad-index"),
    ("an index of 10**30", get(b"/v1/networks/target/parameters/weight?index=" + b"9" * 30), (422,), "bad-index"),
    ("an index with a step of 0", get(b"/v1/networks/target/parameters/weight?index=::0"), (422,), "bad-index"),
    (
        "an index of 5,000 commas",
        get(b"/v1/networks/target/parameters/weight?index=" + b"," * 5000),
        (422,),
        "invalid-request",
    ),
    (
        "an index of 100 new axes",
        get(b"/v1/networks/target/parameters/weight?index=" + b"None," * 100),
        (422,),
        "bad-index",
    ),
    ("a page size below zero", get(b"/v1/networks?page_size=-1"), (422,), "invalid-request"),
    ("a page size of 0", get(b"/v1/networks?page_size=0"), (422,), "invalid-request"),
    ("a page size of 10**30", get(b"/v1/networks?page_size=" + b"9" * 30), (422,), "invalid-request"),
    ("a page size of 5,000 digits", get(b"/v1/networks?page_size=" + b"9" * 5000), (422,), "invalid-request"),
    ("a page size that is a float", get(b"/v1/networks?page_size=1.5"), (422,), "invalid-request"),
    ("a page size in Arabic digits", get(b"/v1/networks?page_size=%D9%A1"), (200, 422), "invalid-request"),
    ("a page token of nonsense", get(b"/v1/networks?page_token=!!!"), (400,), "malformed"),
    ("a page token of another kind", get(b"/v1/networks?page_token=Mjp4"), (400,), "malformed"),
    ("a page token with a NUL", get(b"/v1/networks?page_token=MToA"), (400,), "malformed"),
    ("a page token that is no UTF-8", get(b"/v1/networks?page_token=MTr__w"), (400,), "malformed"),
    ("a page token of 10,000 letters", get(b"/v1/networks?page_token=" + b"A" * 10_000), (422,), "invalid-request"),
    ("an unknown field", get(b"/v1/networks?__class__=1"), (422,), "unknown-key"),
    ("1,000 fields", get(b"/v1/networks?" + b"&".join(b"f%d=1" % n for n in range(1000))), (422,), "unknown-key"),
    ("1,000 fields of a forward", post(FORWARD + b"?" + b"a=1&" * 1000, INPUTS), (400,), "malformed"),
    ("a mode that is none", post(FORWARD + b"?mode=exec", INPUTS), (422,), "bad-query"),
    ("a seed of 10**30", post(FORWARD + b"?seed=" + b"9" * 30, INPUTS), (422,), "bad-query"),
    ("a seed that is NaN", post(FORWARD + b"?seed=nan", INPUTS), (422,), "bad-query"),
    ("a format that is none", post(FORWARD + b"?format=pickle", INPUTS), (406,), "not-acceptable"),
    ("a query that is no UTF-8", post(FORWARD + b"?mode=%ff", INPUTS), (400,), "malformed"),
    ("a query of an array", get(b"/v1/networks?page_size[]=1"), (422,), "unknown-key"),
]

HEADERS: list[Row] = [
    ("a header of 100 kB", get(b"/v1/networks", b"X-Big: " + b"a" * 100_000), (200, 400, 431), ""),
    ("2,000 headers", get(b"/v1/networks", *(b"X-%d: a" % n for n in range(2000))), (200, 400, 431), ""),
    (
        "an accept of nothing",
        get(b"/v1/networks/target/parameters/weight", b"Accept: image/x-none"),
        (406,),
        "not-acceptable",
    ),
    ("an accept of nonsense", post(FORWARD, INPUTS, b"Accept: ;;;q=x,,,/"), (200, 406), "not-acceptable"),
    ("an accept of 5,000 types", post(FORWARD, INPUTS, b"Accept: " + b"a/b;q=0.1," * 5000), (406,), "not-acceptable"),
    ("an If-Match of nonsense", get(b"/v1/networks/target", b'If-Match: "x', method=b"DELETE"), (400, 412), ""),
    (
        "an If-Match of another revision",
        get(b"/v1/networks/target", b'If-Match: "99"', method=b"DELETE"),
        (412,),
        "stale-revision",
    ),
    ("another site's page", post(b"/v1/networks", b"{}", b"Sec-Fetch-Site: cross-site"), (403,), "cross-site-request"),
    ("a rebound host", get(b"/v1/networks", host=b"Host: evil.example\r\n"), (403,), "unknown-host"),
    ("a host with credentials", get(b"/v1/networks", host=b"Host: 127.0.0.1@evil.example\r\n"), (403,), "unknown-host"),
    ("a host of nothing", get(b"/v1/networks", host=b"Host: \r\n"), (403,), "unknown-host"),
    ("no host", get(b"/v1/networks", host=b""), (400, 403), ""),
    (
        "an idempotency key of 10 kB",
        post(b"/v1/networks", b'{"architecture": "ReLU(]"}', b"Idempotency-Key: " + b"a" * 10_000),
        (400, 422),
        "",
    ),
    ("a length that is not the body's", get(b"/v1/networks", b"Content-Length: -5", method=b"POST"), (400,), ""),
    ("a length of 10**30", get(b"/v1/networks", b"Content-Length: " + b"9" * 30, method=b"POST"), (400, 413), ""),
    (
        "two lengths",
        get(b"/v1/networks", b"Content-Length: 2", b"Content-Length: 9", method=b"POST") + b"{}",
        (400,),
        "",
    ),
    (
        "a length past the limit",
        get(b"/v1/networks", b"Content-Type: application/json", b"Content-Length: 99999999", method=b"POST"),
        (413,),
        "too-large",
    ),
    (
        "a length past the limit of a forward",
        get(FORWARD, b"Content-Length: 99999999", method=b"POST"),
        (413,),
        "too-large",
    ),
    ("chunks", chunked(FORWARD, b"14\r\n" + INPUTS + b"\r\n0\r\n\r\n"), (200,), ""),
    (
        "chunks past the limit",
        chunked(FORWARD, b"500000\r\n" + b" " * 0x500000 + b"\r\n0\r\n\r\n"),
        (413,),
        "too-large",
    ),
    ("a chunk of nonsense", chunked(FORWARD, b"zz\r\n{}\r\n0\r\n\r\n"), (400,), ""),
    ("an unknown encoding", post(FORWARD, INPUTS, b"Content-Encoding: gzip"), (415,), "unsupported-media-type"),
    ("HEAD", get(b"/v1/networks", method=b"HEAD"), (200,), ""),
    ("OPTIONS", get(b"/v1/networks", method=b"OPTIONS"), (405,), "method-not-allowed"),
    ("TRACE", get(b"/v1/networks", method=b"TRACE"), (405,), "method-not-allowed"),
    ("PATCH of a list", get(b"/v1/networks", method=b"PATCH"), (405,), "method-not-allowed"),
    ("DELETE of the catalogue", get(b"/v1/catalog/layers", method=b"DELETE"), (405,), "method-not-allowed"),
    ("GET of a forward", get(FORWARD), (405,), "method-not-allowed"),
    ("CONNECT", get(b"127.0.0.1:80", method=b"CONNECT"), (400, 404, 405), ""),
    ("a method of nonsense", get(b"/v1/networks", method=b"EVIL"), (400, 405), ""),
    ("a method of 10 kB", get(b"/v1/networks", method=b"A" * 10_000), (400, 405), ""),
    ("a version of the future", b"GET /v1/networks HTTP/9.9\r\n" + HOST + CLOSE, (200, 400, 505), ""),
    ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", (400,), ""),
    ("a line that folds", get(b"/v1/networks", b"X-A: b\r\n c"), (200, 400), ""),
    ("a space before the colon", get(b"/v1/networks", b"Content-Length : 5"), (400,), ""),
    ("a NUL in a header", get(b"/v1/networks", b"X-A: b\x00c"), (200, 400), ""),
    (
        "a protocol upgrade",
        get(b"/v1/networks", b"Connection: Upgrade", b"Upgrade: websocket"),
        (200, 400, 404, 426),
        "",
    ),
    ("expect 100", post(FORWARD, INPUTS, b"Expect: 100-continue"), (100, 200), ""),
    ("a request id that breaks the line", get(b"/v1/networks", b"X-Request-Id: a b\tc"), (200,), ""),
]
