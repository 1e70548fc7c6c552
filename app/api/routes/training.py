"""Training: `POST /v1/networks/{name}/train` makes a job; its curve is told while it runs and afterwards."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.bodies import check_json_type
from app.api.deps import AcceptHeader, FormatQuery, IfMatchDep, LabDep, NetworkName, RetryDep
from app.api.documentation import accepted, ok, picture_contents, problems
from app.api.jobs import Later, LaterDep, answer_accepted
from app.api.json_route import BytesRoute, JsonRoute
from app.api.negotiation import JSON, PNG, SVG, choose
from app.api.replies import answer_with, reply_of_answer, reply_of_model
from app.api.routes.forward_docs import X
from app.api.schemas.jobs import Job
from app.api.schemas.training import BestLook, CurveEpoch, CurveReply, TrainingLinks, TrainingReply
from app.services.idempotency import Answer
from app.services.training import Finished, draw_curve, find_curve, start_training

router = APIRouter(prefix="/v1", tags=["Training"], route_class=JsonRoute)
bodies = APIRouter(route_class=BytesRoute)

TARGETS = {"y": {"dtype": "int64", "data": [3, 7]}}
EXAMPLES = {
    "classifier": {
        "summary": "Ten epochs of a classifier",
        "value": {
            "inputs": X,
            "targets": TARGETS,
            "loss": "cross_entropy(output, y)",
            "optimizer": "Adam(lr=0.01)",
            "epochs": 10,
            "batch_size": 2,
            "seed": 7,
        },
    }
}
CURVE = {
    "job": "4",
    "stride": 1,
    "steps": [1, 2],
    "loss": [2.31, 2.27],
    "low": [2.31, 2.27],
    "high": [2.31, 2.27],
    "epochs": [{"epoch": 1, "step": 2, "loss": 2.29, "lr": 0.01, "validation": None}],
}


@bodies.post(
    "/networks/{name}/train",
    operation_id="train_network",
    summary="Train a network",
    status_code=202,
    response_model=Job,
    responses={
        202: accepted(),
        **problems(
            "malformed",
            "not-found",
            "in-training",
            "in-flight",
            "stale-revision",
            "too-large",
            "unsupported-media-type",
            "bad-request",
            "unknown-key",
            "unknown-name",
            "bad-expression",
            "bad-arguments",
            "shape-mismatch",
            "no-gradient",
            "limit-exceeded",
            "idempotency-key-reused",
            "busy",
            "unavailable",
            "deadline-exceeded",
            "storage-full",
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/TrainRequest"}, "examples": EXAMPLES}
            },
        }
    },
)
async def run(
    lab: LabDep, name: NetworkName, request: Request, if_match: IfMatchDep, retry: RetryDep, later: LaterDep
) -> Response:
    """Trains a network as the loop that one writes in PyTorch does, with any loss, optimizer and scheduler of PyTorch.
    A first batch is tried at once, so what is wrong is told here; the run itself is a job. Its result says `revision`,
    `steps`, `epochs`, `samples`, `stopped` (`done` or `early`), `loss`, `validation`, `best`, `seed` and `warnings`.

    Checkpoints on the way are revisions; after the death of a worker or a service the run goes on from the newest one
    and ends where it would have ended, on a CPU bit for bit. Meanwhile forwards and reads see the newest checkpoint,
    and other writers are answered 409 `in-training`. Cancelling keeps the newest checkpoint."""
    check_json_type(request.headers.get("content-type"))
    answer = await start_training(
        lab,
        name,
        await request.body(),
        priority=(later or Later()).priority,
        if_match=if_match,
        retry=retry,
        render=answer_accepted,
    )
    return reply_of_answer(answer)


def render(finished: Finished) -> Answer:
    trained = finished.trained
    reply = TrainingReply(
        revision=finished.revision,
        steps=trained.steps,
        epochs=trained.epochs,
        samples=finished.asked.samples,
        stopped=trained.stopped,
        loss=trained.loss,
        validation=trained.validation,
        best=None if trained.best is None else BestLook.model_validate(trained.best),
        seed=finished.asked.plan.seed,
        warnings=finished.asked.warnings,
        links=TrainingLinks(job=f"/v1/jobs/{finished.job}", curve=f"/v1/networks/{finished.name}/curve"),
    )
    return answer_with(reply, finished.revision)


router.include_router(bodies)


@router.get(
    "/networks/{name}/curve",
    operation_id="get_training_curve",
    summary="See how a training goes",
    response_model=CurveReply,
    responses={
        200: ok("The losses so far.", CURVE, **picture_contents(SVG, PNG)),
        **problems("not-found", "not-acceptable", "unavailable"),
    },
)
async def curve(
    lab: LabDep,
    name: NetworkName,
    job: Annotated[
        str | SkipJsonSchema[None], Query(max_length=40, description="Of this training. Default: of the newest one.")
    ] = None,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """The loss of every step, or of every few, and of every epoch, with what validation gave; in numbers, or drawn
    (`?format=svg` or `png`). A run that goes on adds to it every few seconds."""
    media_type = choose(accept, format_name, (JSON, SVG, PNG))
    row, found = await find_curve(lab, name, job)
    if media_type != JSON:
        drawn = await draw_curve(lab, name, row, found, media_type)
        return Response(drawn.body, media_type=drawn.media_type, headers={"vary": "accept"})
    reply = CurveReply(
        job=str(row.number),
        stride=found.stride,
        steps=found.steps,
        loss=found.mean,
        low=found.low,
        high=found.high,
        epochs=[CurveEpoch.model_validate(msgspec.to_builtins(point)) for point in found.epochs],
    )
    return reply_of_model(reply)
