"""The problem document (RFC 9457) as the reference shows it. What is sent is made by `app.api.errors`."""

from pydantic import BaseModel, ConfigDict, Field


class PlaceOfError(BaseModel):
    """One thing that is wrong."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request's body; empty for all of the request.")
    message: str = Field(description="What is wrong there, and what would be right.")


class Problem(BaseModel):
    """Every error answer has this form, with the media type `application/problem+json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/unknown-layer",
                    "title": "There is no such layer or block",
                    "status": 422,
                    "detail": "There is no layer or block `Linaer`. Did you mean `Linear`?",
                    "code": "unknown-layer",
                    "instance": "/v1/networks",
                    "request_id": "5f0c41a9b2d7-1",
                    "errors": [
                        {
                            "pointer": "/architecture/0",
                            "message": "There is no layer or block `Linaer`. Did you mean `Linear`?",
                        }
                    ],
                }
            ]
        }
    )

    type: str = Field(description="Address of a page about this kind of problem, relative to the service.")
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong this time, and what would be right.")
    code: str = Field(description="The kind of problem, for programs. Codes do not change.")
    instance: str | None = Field(None, description="The path that was asked for.")
    request_id: str | None = Field(None, description="The request's id, also in `X-Request-ID` and in the log.")
    errors: list[PlaceOfError] = Field(default=[], description="Where it was wrong; at most 20 places.")


class InferenceProblem(Problem):
    """A problem under `/v2`, as clients of the Open Inference Protocol read it: plain JSON with `error`."""

    error: str = Field(description="The same as `detail`.", examples=["There is no network 'mlp'."])


class ProblemKind(BaseModel):
    """One kind of problem."""

    code: str
    status: int
    title: str
    meaning: str = Field(description="What happened, and what to do about it.")


class ProblemKinds(BaseModel):
    items: list[ProblemKind]
