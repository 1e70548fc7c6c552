"""The state_dict of a network: down as a file, up into a new revision. Bytes stream both ways."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.bodies import header
from app.api.deps import RETRY_WORDS, AcceptHeader, FormatQuery, IfMatchDep, LabDep, NetworkName
from app.api.documentation import SAVES_AS, accepted, binary_contents, ok, problems
from app.api.jobs import LaterDep, answer_accepted
from app.api.json_route import JsonRoute
from app.api.negotiation import JSON, NPZ, PT, SAFETENSORS, choose
from app.api.preconditions import etag_of, read_idempotency_key
from app.api.replies import reply_of_answer, reply_of_encoded
from app.api.retries import take_retry
from app.api.schemas.states import LoadedState
from app.api.schemas.tensors import Tensor
from app.api.streams import StreamedFile, stream_body
from app.errors import UnsupportedMedia
from app.services.downloads import plan_tensor_file, write_json
from app.services.idempotency import Answer
from app.services.jobs import JobRequest, accept_job
from app.services.states import Loaded, find_state, find_target, load_state, receive_state
from app.services.states_later import TENSORS, LaterState, keep_received
from app.services.writes import check_match
from app.tensors.media_types import MEDIA_TYPES, Format, format_of_body

router = APIRouter(prefix="/v1/networks/{name}/state_dict", tags=["Files"], route_class=JsonRoute)

OFFERED = (SAFETENSORS, PT, NPZ, JSON)
FORMAT_OF: dict[str, Format] = {media_type: name for name, media_type in MEDIA_TYPES.items()}
BIAS = {"out.bias": {"data": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}}
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/ArtifactReference"},
                    {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/TensorToRead"}},
                ]
            },
            "examples": {"some": {"summary": "One tensor, the others left as they are", "value": BIAS}},
        },
        **binary_contents(SAFETENSORS, PT, NPZ),
    },
}
PrefixQuery = Annotated[
    str | SkipJsonSchema[None],
    Query(
        max_length=4096, description="Of the module at this path alone, as `net[2].state_dict()`; names begin there."
    ),
]


@router.get(
    "",
    operation_id="get_state_dict",
    summary="Save the parameters",
    response_model=dict[str, Tensor],
    responses={
        200: ok("The file.", headers=("ETag",), **binary_contents(SAFETENSORS, PT, NPZ)),
        206: ok("The part of a safetensors file that `Range` asks for.", **binary_contents(SAFETENSORS)),
        **problems("not-found", "not-acceptable", "range-not-satisfiable", "damaged-data", "unavailable"),
    },
    openapi_extra={SAVES_AS: "mlp.safetensors"},
)
async def get(
    lab: LabDep,
    name: NetworkName,
    request: Request,
    prefix: PrefixQuery = None,
    revision: Annotated[
        int | SkipJsonSchema[None], Query(ge=1, le=2**53, description="As it was at this revision.")
    ] = None,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """What `net.state_dict()` holds, as a file: safetensors unless asked otherwise, `.pt`, `.npz` or JSON. PyTorch and
    the safetensors library read it. It streams, and a safetensors file answers `HEAD` and `Range`. Tied parameters are
    there under each of their names."""
    media_type = choose(accept, format_name, OFFERED, pt=lab.settings.pt_files)
    state = await find_state(lab, name, prefix or "", revision)
    if media_type == JSON:
        return reply_of_encoded(await write_json(lab, state.manifest, state.tensors, "dict"), state.revision)
    format_name = FORMAT_OF[media_type]
    file = plan_tensor_file(lab, state.tensors, "dict", FORMAT_OF[media_type])
    return StreamedFile(request, file, etag_of(state.revision), filename=f"{name}.{format_name}")


@router.put(
    "",
    operation_id="put_state_dict",
    summary="Load parameters",
    response_model=LoadedState,
    responses={
        200: ok(
            "What was loaded.",
            {"revision": 2, "loaded": 1, "missing": ["hidden.weight", "hidden.bias", "out.weight"], "unexpected": []},
            headers=("ETag",),
        ),
        202: accepted(),
        **problems(
            "malformed",
            "not-found",
            "tied-conflict",
            "stale-revision",
            "too-large",
            "unsupported-media-type",
            "state-dict-mismatch",
            "shape-mismatch",
            "dtype-mismatch",
            "bad-tensor",
            "invalid-request",
            "limit-exceeded",
            "busy",
            "unavailable",
            "deadline-exceeded",
            "storage-full",
        ),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def put(
    lab: LabDep,
    name: NetworkName,
    request: Request,
    if_match: IfMatchDep,
    later: LaterDep,
    prefix: PrefixQuery = None,
    strict: Annotated[
        bool,
        Query(
            description="Whether names must be the same on both sides. If not, the reply lists those that are not.",
            openapi_examples={"some": {"value": False}},
            json_schema_extra={"example": False},  # what the reference fills in, where there is a default too
        ),
    ] = True,
    idempotency_key: Annotated[
        str | SkipJsonSchema[None],
        Header(alias="Idempotency-Key", description=f"With `Prefer: respond-async`. {RETRY_WORDS}"),
    ] = None,
) -> Response:
    """As `net.load_state_dict(file)`: takes safetensors, `.pt`, `.npz`, JSON, or `{"artifact": name}`, and makes one
    revision. Shapes and dtypes must be the network's. A tied parameter may be given under one of its names or under
    all of them, but with one value."""
    read_idempotency_key(idempotency_key)  # before a large body comes
    format_name = format_of_body(header(request.scope["headers"], b"content-type") or "")
    if format_name == "npy":
        raise UnsupportedMedia("A .npy file holds one tensor without a name; send safetensors, .pt, .npz or JSON.")
    # A file that was sent before is known by its tensors alone, and then what was true the first time need not be now.
    may_be_retry = later is not None and idempotency_key is not None
    target = await find_target(lab, name, prefix or "", None if may_be_retry else if_match)
    body = stream_body(request, lab.settings.upload_bytes)
    received = await receive_state(lab, target, body, format_name, strict=strict)
    detail: dict[str, object] = {"format": format_name, "tensors": len(received.tensors)}
    if target.prefix:
        detail["prefix"] = target.prefix
    if later is not None:
        asked = LaterState(target.prefix, strict, detail, received.left_out, if_match)
        manifest = await keep_received(lab, target, received, asked)
        wanted = JobRequest("state_dict", asked, target.network, name, later.priority, manifests={TENSORS: manifest})
        retry = await take_retry(lab, request.scope, idempotency_key, bytes.fromhex(manifest))
        check_match(name, target.network.revision, if_match)
        return reply_of_answer(await accept_job(lab, wanted, retry, answer_accepted))
    answer = await load_state(
        lab, name, target, received, strict=strict, if_match=if_match, detail=detail, render=render
    )
    return reply_of_answer(answer)


def render(loaded: Loaded) -> Answer:
    model = LoadedState(
        revision=loaded.revision, loaded=loaded.loaded, missing=loaded.missing, unexpected=loaded.unexpected
    )
    headers = [["content-type", "application/json"], ["etag", etag_of(loaded.revision)]]
    return Answer(200, headers, model.model_dump_json().encode())
