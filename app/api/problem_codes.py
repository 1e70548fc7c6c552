"""Every problem code a client may meet: its title and what it means, in words for a person.

A code is the last part of a problem's `type` (`/problems/name-taken`), and that address answers with what stands
here. Codes are stable; titles and words may be made clearer. Called by `app.api.errors` and the routes of `/problems`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProblemCode:
    """One kind of problem. `meaning` says what happened and what to do about it."""

    code: str
    status: int
    title: str
    meaning: str


_CODES = (
    # 400
    ProblemCode(
        "malformed",
        400,
        "The request cannot be read",
        "The bytes are not what they claim to be: JSON with a syntax error, a duplicate key, a NaN literal or a lone "
        "surrogate; a header that does not follow its grammar; a damaged tensor file. `detail` says where.",
    ),
    # 401, 403
    ProblemCode("unauthorized", 401, "A key is needed", "Send `Authorization: Bearer <key>` with a key that exists."),
    ProblemCode("forbidden", 403, "This key may not do that", "The key's role does not allow this operation."),
    ProblemCode(
        "unknown-host",
        403,
        "This host name is not answered",
        "The Host header is not among the names the operator allows (`MODEL_LAB_ALLOWED_HOSTS`). This keeps web pages "
        "of other sites from reaching a service on your own machine.",
    ),
    ProblemCode(
        "cross-site-request",
        403,
        "A web page of another site may not change things here",
        "The browser marked the request as sent by a page of another site (`Sec-Fetch-Site: cross-site`).",
    ),
    # 404, 405, 406
    ProblemCode("not-found", 404, "There is no such thing", "Nothing has that name or address. `detail` says what."),
    ProblemCode(
        "method-not-allowed",
        405,
        "The method is not allowed here",
        "The address exists, but not with this method. The `Allow` header lists those it has.",
    ),
    ProblemCode(
        "not-acceptable",
        406,
        "The reply cannot be written in that format",
        "No format named by `Accept` or `?format=` can hold this reply. `detail` lists those that can.",
    ),
    # 409, 412, 413, 415
    ProblemCode("conflict", 409, "Not now or not here", "The request is right, but clashes with the state of things."),
    ProblemCode(
        "in-training",
        409,
        "The network is in training",
        "Until its job ends, only the training changes it. `job` says which one; cancelling it keeps its newest "
        "checkpoint.",
    ),
    ProblemCode(
        "in-training",
        409,
        "The network is in training",
        "Until its job ends, only the training changes it. `job` says which one; cancelling it keeps its newest "
        "checkpoint.",
    ),
    ProblemCode("in-use", 409, "It is in use", "Something else needs it; `used_by` lists what."),
    ProblemCode("name-taken", 409, "The name is taken", "Choose another name, or delete what has it."),
    ProblemCode(
        "in-flight",
        409,
        "The first request with this key is still running",
        "A request with the same `Idempotency-Key` has not ended yet. Wait, then send this one again.",
    ),
    ProblemCode(
        "not-finished",
        409,
        "The job has not ended yet",
        "It waits or runs; `state` says which. Follow its events, ask again later, or cancel it.",
    ),
    ProblemCode("cancelled", 409, "The job was cancelled", "Somebody cancelled it, so it has no result."),
    ProblemCode(
        "device-mismatch",
        409,
        "The devices differ",
        "Values on two devices cannot be combined; copy one of them first.",
    ),
    ProblemCode(
        "tied-conflict", 409, "Tied parameters disagree", "Two names of one tied parameter were given different values."
    ),
    ProblemCode(
        "stale-gradients",
        409,
        "The gradients belong to another revision",
        "The network changed since they were made, so nothing is added to them. Clear them, or begin anew.",
    ),
    ProblemCode(
        "stale-revision",
        412,
        "It has changed since you read it",
        "`If-Match` names another revision than the current one. Read it again and decide anew.",
    ),
    ProblemCode("too-large", 413, "The body is too large", "`detail` says how many bytes are taken here."),
    ProblemCode(
        "unsupported-media-type",
        415,
        "The body's format is not one that is read here",
        "Send the format that the operation documents, named in `Content-Type`, and not packed (`Content-Encoding`).",
    ),
    ProblemCode(
        "range-not-satisfiable",
        416,
        "There is no such part",
        "`Range` begins behind the end of the file. `Content-Range` says how long it is.",
    ),
    # 422
    ProblemCode(
        "invalid-request",
        422,
        "The request was understood, but something in it is wrong",
        "A field is missing, has the wrong type or is out of range. `errors` points at each.",
    ),
    ProblemCode(
        "not-exportable",
        422,
        "The network cannot be written in that form",
        "ONNX is a graph that is the same for all inputs. `detail` says what it cannot hold: a decision by values, "
        "or an operation for which ONNX has no operator. `GET .../code` gives any network as Python.",
    ),
    ProblemCode("bad-query", 422, "A query parameter is wrong", "`detail` says which, and what it may be."),
    ProblemCode("bad-request", 422, "Something in the body is wrong", "`errors` points at it."),
    ProblemCode(
        "not-finite",
        422,
        "The loss is no finite number",
        "The training stopped at `step`. Its newest checkpoint is the network's newest revision.",
    ),
    ProblemCode(
        "not-finite",
        422,
        "The loss is no finite number",
        "The training stopped at `step`. Its newest checkpoint is the network's newest revision.",
    ),
    ProblemCode(
        "no-gradient",
        422,
        "The loss has no gradient",
        "It depends on no input of floating numbers and on no parameter that is trained.",
    ),
    ProblemCode("missing-input", 422, "An input is missing", "`detail` names the inputs that the network takes."),
    ProblemCode("unprocessable", 422, "The request was understood, but it cannot be done", "`detail` says why."),
    ProblemCode("unknown-key", 422, "A field is unknown", "`errors` points at it; fields that exist are listed."),
    ProblemCode("bad-name", 422, "The name is not a valid one", "`detail` holds the rule for names."),
    ProblemCode(
        "not-row-wise",
        422,
        "The network does not keep rows apart",
        "Requests may share a run only where the network treats each row of dimension 0 by itself. `operation` lets "
        "rows meet, or is not known to keep them apart; `child` and `line` say where it stands.",
    ),
    ProblemCode("duplicate-name", 422, "A name is used twice", "Names beside each other must differ."),
    ProblemCode(
        "unknown-layer",
        422,
        "There is no such layer or block",
        "`GET /v1/catalog/layers` lists the layers, `GET /v1/blocks` the registered blocks.",
    ),
    ProblemCode(
        "unknown-name",
        422,
        "Something is referred to that does not exist",
        "A ref, node, tie, input or path names nothing that is there.",
    ),
    ProblemCode("bad-arguments", 422, "The arguments do not fit", "A layer or block cannot be made from these."),
    ProblemCode("missing-hyperparameter", 422, "A hyperparameter is missing", "The block needs it to be given."),
    ProblemCode(
        "bad-expression",
        422,
        "The expression is not in the language",
        "`detail` says what was met, with line and column: a name that nothing has, too. "
        "`GET /v1/catalog/functions` lists what may be called.",
    ),
    ProblemCode("cycle", 422, "Things depend on each other in a circle", "Nodes and blocks may not form a circle."),
    ProblemCode("bad-tie", 422, "These parameters cannot be tied", "Tied parameters have one shape and exist."),
    ProblemCode("bad-output", 422, "The output is not a tensor", "A forward returns tensors, numbers or None."),
    ProblemCode(
        "shape-mismatch", 422, "The shapes do not fit", "`detail` names the shapes and the child that met them."
    ),
    ProblemCode("dtype-mismatch", 422, "The dtypes do not fit", "`detail` names both. Nothing is cast silently."),
    ProblemCode(
        "state-dict-mismatch",
        422,
        "The file and the network do not have the same tensors",
        "`missing` and `unexpected` list the names. With `?strict=false` those that fit are taken.",
    ),
    ProblemCode("limit-exceeded", 422, "A limit is exceeded", "The operator limits what one request may ask for."),
    ProblemCode("bad-index", 422, "The index does not fit", "An index is a NumPy basic index as text, such as `0, :`."),
    ProblemCode(
        "absent-device",
        409,
        "The network's device is not here",
        "Move the network with `PUT .../device`, or bring it back.",
    ),
    ProblemCode("unknown-device", 422, "There is no such device", "`GET /v1/devices` lists those that are there."),
    ProblemCode(
        "bad-dtype", 422, "That dtype is unknown, or cannot be used here", "`detail` lists those that can be used."
    ),
    ProblemCode(
        "bad-tensor",
        422,
        "This is no tensor",
        "Its lists are of different lengths, a value does not fit its dtype, its data and shape disagree, or the file "
        "holds what is not read. `errors` points at it.",
    ),
    ProblemCode(
        "idempotency-key-reused",
        422,
        "The key was used for another request",
        "An `Idempotency-Key` belongs to one body. Send a new key with a new body.",
    ),
    # 429, 5xx
    ProblemCode("busy", 429, "Too much at once", "Come back after the seconds in `Retry-After`."),
    ProblemCode(
        "too-many-requests",
        429,
        "This key is used too often",
        "The operator limits how many requests one key may send. Come back after the seconds in `Retry-After`.",
    ),
    ProblemCode("error", 500, "Something went wrong here", "Report the request id in `request_id`."),
    ProblemCode("internal-error", 500, "Something went wrong here", "Report the request id in `request_id`."),
    ProblemCode("damaged-data", 500, "Stored data is damaged", "Stored bytes do not match their digest."),
    ProblemCode("unavailable", 503, "A needed part is away", "Come back after the seconds in `Retry-After`."),
    ProblemCode(
        "device-failed", 503, "The device failed", "The accelerator reported an error. Come back later, or use another."
    ),
    ProblemCode("worker-died", 503, "The worker died", "Two workers ended while running this; it may be too big."),
    ProblemCode("deadline-exceeded", 504, "It ran too long", "It was stopped at the operator's deadline."),
    ProblemCode(
        "out-of-memory",
        507,
        "The device has no memory for it",
        "It did not fit although all else that lay there was sent away. Send less at once, or use a larger device.",
    ),
    ProblemCode("storage-full", 507, "There is no room to keep it", "Reads are still served."),
)

CODES: dict[str, ProblemCode] = {problem.code: problem for problem in _CODES}
