"""First values anew: `POST /v1/networks/{name}/initialize`."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.api.deps import IfMatchDep, LabDep, NetworkName, RetryDep
from app.api.documentation import WITH_HEADERS, accepted, ok, problems
from app.api.jobs import LaterDep, answer_accepted
from app.api.json_route import JsonRoute
from app.api.replies import answer_with, reply_of_answer
from app.api.schemas.initialization import InitializedParameter, InitializeReply, InitializeRequest
from app.messages import InitializedParameter as Done
from app.services.idempotency import Answer
from app.services.initialize import ask_initialization, initialize_network
from app.services.jobs import JobRequest, accept_job
from app.services.references import find_reference
from app.services.writes import check_match

router = APIRouter(prefix="/v1/networks", tags=["Parameters"], route_class=JsonRoute)

EXAMPLES = {
    "normal": {
        "summary": "Every Linear: weights from N(0, 0.01), biases 0",
        "value": {
            "rules": [{"module_type": "Linear", "parameters": {"weight": "normal_(std=0.01)", "bias": "zeros_()"}}],
            "seed": 7,
        },
    },
    "later": {
        "summary": "The same as a job: the reply says where to look for it",
        "value": {"rules": [{"module_type": "Linear", "parameters": {"bias": "zeros_()"}}]},
        WITH_HEADERS: {"Prefer": "respond-async"},
    },
    "own": {
        "summary": "An initialiser of one's own, for one layer",
        "value": {
            "rules": [
                {"path": "hidden", "parameters": {"weight": ["uniform_(-10, 10)", "param * (abs(param) >= 5)"]}},
                {"path": "out", "parameters": {"weight": "constant_(42)"}},
            ]
        },
    },
}
REPLY = {"revision": 2, "initialized": [{"name": "hidden.weight", "shape": [256, 20], "rule": 0}]}


@router.post(
    "/{name}/initialize",
    operation_id="initialize_network",
    summary="Give parameters first values by rules",
    response_model=InitializeReply,
    responses={
        200: ok("What was initialised.", REPLY, headers=("ETag",)),
        202: accepted(),
        **problems(
            "malformed",
            "not-found",
            "in-flight",
            "stale-revision",
            "unknown-name",
            "unknown-key",
            "bad-request",
            "bad-expression",
            "bad-arguments",
            "shape-mismatch",
            "invalid-request",
            "limit-exceeded",
            "unavailable",
            "deadline-exceeded",
            "storage-full",
        ),
    },
)
async def initialize(
    lab: LabDep,
    name: NetworkName,
    body: Annotated[InitializeRequest, Body(openapi_examples=EXAMPLES)],
    if_match: IfMatchDep,
    retry: RetryDep,
    later: LaterDep,
) -> Response:
    """Runs rules, one after the other, each over its modules in the order of `net.apply`. With a `seed` the numbers are
    those that the same calls of `torch.nn.init` draw. A rule that matches nothing is an error, and then nothing is
    changed. Constants and other buffers are left alone."""
    asked = ask_initialization(lab, body.rules, body.seed, if_match)
    if later is not None:
        head = await find_reference(lab, name)
        check_match(name, head.revision, if_match)
        wanted = JobRequest("initialize", asked, head, name, later.priority)
        return reply_of_answer(await accept_job(lab, wanted, retry, answer_accepted))
    return reply_of_answer(await initialize_network(lab, name, asked, retry=retry, render=render))


def render(done: list[Done], revision: int) -> Answer:
    items = [InitializedParameter(name=item.name, shape=item.shape, rule=item.rule) for item in done]
    return answer_with(InitializeReply(revision=revision, initialized=items), revision)
