"""What each kind of problem means: the addresses that problem documents give as their `type`."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.problem_codes import CODES, ProblemCode
from app.api.schemas.problems import ProblemKind, ProblemKinds
from app.errors import NotFound

router = APIRouter(prefix="/problems", tags=["Problems"], route_class=JsonRoute)


@router.get(
    "",
    operation_id="list_problems",
    summary="List the kinds of problems",
    response_model=ProblemKinds,
    responses={200: ok("Every kind."), **problems()},
)
async def list_problems() -> ProblemKinds:
    """Every code that a problem document may hold, and what to do about it."""
    return ProblemKinds(items=[_kind(problem) for problem in CODES.values()])


@router.get(
    "/{code}",
    operation_id="get_problem",
    summary="Look up one kind of problem",
    response_model=ProblemKind,
    responses={200: ok("The kind."), **problems("not-found")},
)
async def get_problem(
    code: Annotated[str, Path(description="A problem's code.", openapi_examples={"x": {"value": "name-taken"}})],
) -> ProblemKind:
    """One kind of problem, by its code."""
    problem = CODES.get(code)
    if problem is None:
        raise NotFound("There is no such problem code; `GET /problems` lists all.")
    return _kind(problem)


def _kind(problem: ProblemCode) -> ProblemKind:
    return ProblemKind(code=problem.code, status=problem.status, title=problem.title, meaning=problem.meaning)
