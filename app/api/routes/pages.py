"""Pages for people: the front page, the lab, the reference, and the files they are made of, none from elsewhere.

The reference is Swagger UI, kept in `app/api/static/`; the lab is `app/api/static/lab/`, modules that import each
other by their plain names and so share one address. Files are read once; their addresses carry a digest of their
content, so a browser may keep them for good. The content security policy allows no inline script.
"""

import re
from functools import cache, lru_cache
from hashlib import sha256
from importlib import resources

import orjson
from fastapi import APIRouter, FastAPI, Request, Response

from app.api.json_route import JsonRoute
from app.api.negotiation import JSON, choose
from app.api.openapi import BASE_URL
from app.api.preconditions import etag_of
from app.errors import NotFound

router = APIRouter(include_in_schema=False, route_class=JsonRoute)

HTML = "text/html"
FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "lab/lab.css": "text/css; charset=utf-8",
    **{
        f"lab/{name}.js": "text/javascript; charset=utf-8"
        for name in (
            "api",
            "devices",
            "diagram",
            "dom",
            "events",
            "jobs",
            "key",
            "main",
            "network",
            "networks",
            "parameters",
            "revisions",
            "training",
        )
    },
}
LAB = "lab/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' {images}; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:]{2,45}\](:[0-9]{1,5})?")
FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def read_static(name: str) -> bytes:
    """A file of the pages. Only names in `FILES` are ever read."""
    return resources.files("app.api").joinpath("static", *name.split("/")).read_bytes()


@cache
def digest_of(name: str) -> str:
    """The digest of a file's content; of the lab's files, which name each other, that of all of them."""
    together = [file for file in FILES if file.startswith(LAB)] if name.startswith(LAB) else [name]
    return sha256(b"".join(map(read_static, together))).hexdigest()[:16]


def address_of(name: str) -> str:
    return f"/static/{digest_of(name)}/{name}"


@cache
def render_page(name: str) -> bytes:
    """An HTML page with `{{file}}` replaced by the address of that file."""
    text = (resources.files("app.api") / "static" / name).read_text("utf-8")
    for file in FILES:
        text = text.replace("{{" + file + "}}", address_of(file))
    return text.encode()


def _page(name: str, origin: str, *, styles: str = "", images: str = "data:") -> Response:
    """A page; `styles` and `images` are what it may use besides files of its own."""
    headers = {
        "content-security-policy": POLICY.format(styles=styles, images=images),
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
        "vary": "accept, host",
    }
    return Response(render_page(name).replace(b"{{origin}}", origin.encode()), headers=headers, media_type=HTML)


def _origin(request: Request) -> str:
    """Where the client reached us, for lines to paste; the usual address when its Host is no plain name and port."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else BASE_URL


@router.get("/")
async def front_page(request: Request) -> Response:
    """What is here, for a browser as a page, for everything else as JSON."""
    if choose(request.headers.get("accept"), None, (JSON, HTML)) == HTML:
        return _page("index.html", _origin(request))
    return Response(
        orjson.dumps(
            {
                "service": "Model Lab",
                "version": request.app.version,
                "what": "Create, run, inspect, change and keep neural networks over HTTP, from JSON.",
                "links": {
                    "lab": "/lab",
                    "reference": "/docs",
                    "openapi": "/openapi.json",
                    "networks": "/v1/networks",
                    "layers": "/v1/catalog/layers",
                    "devices": "/v1/devices",
                    "ready": "/readyz",
                },
            },
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        ),
        media_type=JSON,
        headers={"vary": "accept"},
    )


@router.get("/docs")
async def reference_page(request: Request) -> Response:
    """The reference, to read and to try. Swagger UI sets styles on its elements, which the policy allows it."""
    return _page("docs.html", _origin(request), styles=" 'unsafe-inline'")


@router.get("/lab")
async def lab_page(request: Request) -> Response:
    """Networks, jobs and devices to look at. Pictures are fetched with the key and shown from memory (`blob:`)."""
    return _page("lab.html", _origin(request), images="blob:")


@router.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """The OpenAPI document."""
    content, digest = _openapi(request.app, _origin(request))
    headers = {"etag": etag_of(digest), "cache-control": "no-cache", "vary": "host"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=JSON, headers=headers)


@cache
def _document(application: FastAPI) -> bytes:
    return orjson.dumps(application.openapi())


@lru_cache(maxsize=16)
def _openapi(application: FastAPI, origin: str) -> tuple[bytes, str]:
    """The document with its lines to paste made for the address that the client knows."""
    content = _document(application).replace(BASE_URL.encode(), origin.encode())
    return content, sha256(content).hexdigest()[:16]


@router.get("/static/{digest}/{name:path}")
async def static_file(digest: str, name: str) -> Response:
    """A file that the pages are made of."""
    if name not in FILES or digest != digest_of(name):
        raise NotFound("There is no such file.")
    return Response(read_static(name), headers={"content-type": FILES[name], "cache-control": FOR_GOOD})


@router.get("/favicon.ico")
async def icon() -> Response:
    """The icon, where browsers look for it by themselves."""
    return Response(
        read_static("icon.svg"), headers={"content-type": FILES["icon.svg"], "cache-control": "max-age=86400"}
    )
