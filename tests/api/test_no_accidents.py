"""No input is an internal error: requests at random, mutated from good ones, at every route that takes any."""

from urllib.parse import quote

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.problem import check_problem

CALM = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = st.sampled_from(
    [
        "Linear(2, 3)",
        "Linear",
        "ReLU()",
        "Sequential",
        "x",
        "X",
        "return x",
        "return relu(x) + 1",
        "n",
        "hidden",
        "0",
        "relu",
        "randn(2, 2)",
        "{i}",
        "a.b",
        "",
    ]
)
KEYS = st.sampled_from(
    [
        "type",
        "args",
        "kwargs",
        "layers",
        "repeat",
        "name",
        "block",
        "ref",
        "shared",
        "children",
        "parameters",
        "constants",
        "ties",
        "inputs",
        "forward",
        "nodes",
        "outputs",
        "hyperparameters",
        "blocks",
        "id",
        "call",
        "data",
        "dtype",
        "shape",
        "tensor",
    ]
)
LEAVES = (
    WORDS
    | st.text(max_size=8)
    | st.integers(-(2**70), 2**70).filter(lambda n: -(2**63) <= n < 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)


def check_no_accident(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        check_problem(response, response.status_code, response.json()["code"])


@CALM
@given(architecture=JSON, shapes=st.none() | JSON)
def test_no_architecture_is_an_accident(service, architecture, shapes):
    body = orjson.dumps({"architecture": architecture, "input_shapes": shapes})
    check_no_accident(service.post("/v1/architectures/check", content=body))


@CALM
@given(body=JSON)
def test_no_body_is_an_accident(service, body):
    content = orjson.dumps(body)
    for path in ("/v1/architectures/check", "/v1/blocks", "/v1/networks/nobody/forward"):
        check_no_accident(service.post(path, content=content))
    check_no_accident(service.patch("/v1/networks/nobody", content=content))
    check_no_accident(service.put("/v1/networks/nobody/device", content=content))


@CALM
@given(
    content=st.binary(max_size=200), kind=st.sampled_from(["application/json", "text/plain", "application/x-npy", ""])
)
def test_no_bytes_are_an_accident(service, content, kind):
    for path in ("/v1/architectures/check", "/v1/networks", "/v1/networks/nobody/forward"):
        check_no_accident(service.post(path, content=content, headers={"content-type": kind}))


@settings(CALM, max_examples=50)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_text_in_an_address_is_an_accident(service, text):
    made = service.post("/v1/networks", json={"name": "addressed", "architecture": ["Linear(2, 2)"]})
    assert made.status_code in (201, 409)
    part = quote(text, safe="")
    for path in (
        f"/{part}",
        f"/v1/networks/{part}",
        f"/v1/networks/{part}/modules",
        f"/v1/networks/addressed/modules/{part}",
        f"/v1/networks/addressed/parameters/{part}",
        f"/v1/networks/addressed/parameters/0.weight?index={part}",
        f"/v1/networks/addressed/parameters/0.weight?format={part}",
        f"/v1/networks/addressed/parameters?prefix={part}",
        f"/v1/networks?page_token={part}",
        f"/v1/networks?{part}={part}",
        f"/v1/blocks/{part}",
        f"/v1/catalog/layers/{part}",
        f"/v1/catalog/functions/{part}",
        f"/problems/{part}",
        f"/static/{part}/docs.js",
    ):
        check_no_accident(service.get(path))


@CALM
@given(inputs=JSON)
def test_no_inputs_are_an_accident(service, inputs):
    made = service.post("/v1/networks", json={"name": "fed", "architecture": ["Linear(2, 2)"]})
    assert made.status_code in (201, 409)
    check_no_accident(service.post("/v1/networks/fed/forward", content=orjson.dumps({"inputs": inputs})))
