"""Checking an architecture over HTTP: nothing is made, everything is told."""

import torch
from torch import nn

from tests.api.problem import check_problem

LAYERS = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]


def check(service, **body):
    return service.post("/v1/architectures/check", json=body)


def test_a_sequence_is_counted_and_printed_as_pytorch_does(service):
    net = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    reply = check(service, architecture=LAYERS, input_shapes=[2, 20]).json()
    assert reply["parameter_count"] == sum(p.numel() for p in net.parameters())
    assert reply["parameter_bytes"] == 4 * reply["parameter_count"]
    assert reply["tree"] == str(net)
    assert reply["output_shapes"] == {"output": {"dtype": "float32", "shape": list(net(torch.zeros(2, 20)).shape)}}
    assert reply["inputs"] == ["input"]
    assert reply["note"] is None


def test_without_shapes_of_inputs_there_are_none_of_outputs(service):
    assert check(service, architecture=LAYERS).json()["output_shapes"] is None


def test_shapes_may_be_given_by_name_with_a_dtype(service):
    reply = check(
        service,
        architecture=["Embedding(100, 16)", "Linear(16, 4)"],
        input_shapes={"input": {"shape": [2, 7], "dtype": "int64"}},
    )
    assert reply.json()["output_shapes"]["output"]["shape"] == [2, 7, 4]


def test_the_dtype_counts_in_the_bytes_and_a_seed_is_passed_over(service):
    reply = check(service, architecture="Linear(3, 1)", dtype="float64", seed=3, input_shapes=[3])
    assert reply.json()["parameter_bytes"] == 8 * 4
    assert reply.json()["output_shapes"]["output"] == {"dtype": "float64", "shape": [1]}


def test_nothing_is_stored(service):
    before = service.get("/v1/networks?page_size=500").json()
    assert check(service, architecture=LAYERS).status_code == 200
    assert service.get("/v1/networks?page_size=500").json() == before


def test_a_shape_that_does_not_fit_points_at_the_input_shapes(service):
    problem = check_problem(check(service, architecture=LAYERS, input_shapes=[2, 21]), 422, "shape-mismatch")
    assert "21" in problem["detail"]


def test_bad_shapes_are_pointed_at(service):
    for shapes in ([-1], [1.5], ["2"], [True], {"input": [2, "x"]}, 7, "2, 20"):
        problem = check_problem(check(service, architecture=LAYERS, input_shapes=shapes), 422, "invalid-request")
        assert all(place["pointer"].startswith("/input_shapes") for place in problem["errors"]), problem


def test_an_unknown_field_of_a_shape_is_pointed_at(service):
    response = check(service, architecture=LAYERS, input_shapes={"input": {"shape": [2], "size": 3}})
    check_problem(response, 422, "unknown-key", "/input_shapes/input/size")


def test_an_unknown_input_is_refused(service):
    response = check(service, architecture=LAYERS, input_shapes={"nothing": [2, 20]})
    assert response.status_code == 422
    assert "nothing" in response.json()["detail"]


def test_a_network_of_terabytes_is_refused_before_memory_is_taken(service):
    response = check(service, architecture="Linear(1000000, 1000000)")
    check_problem(response, 422, "limit-exceeded")


def test_deep_nesting_is_a_limit_and_not_a_crash(service):
    for depth in (70, 300, 900, 1100, 20_000):
        body = '{"architecture":' + "[" * depth + '"ReLU()"' + "]" * depth + "}"  # deeper than Python's json writes
        check_problem(service.post("/v1/architectures/check", content=body), 422, "limit-exceeded")


def test_an_architecture_that_is_no_block_at_all_is_pointed_at(service):
    for architecture in (7, None, True, {}, {"layers": []}, ""):
        response = check(service, architecture=architecture)
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["pointer"].startswith("/architecture")


def test_a_problem_of_the_request_itself_comes_first(service):
    check_problem(check(service), 422, "invalid-request", "/architecture")
    check_problem(check(service, architecture=LAYERS, dtype="int8"), 422, "bad-dtype", "/dtype")
    check_problem(check(service, architecture=LAYERS, shapes=[1]), 422, "unknown-key", "/shapes")


def test_where_shapes_depend_on_values_a_note_says_so_and_the_rest_is_told(service):
    block = {
        "children": {"linear": "Linear(20, 20)"},
        "inputs": ["X"],
        "forward": ["X = linear(X)", "while X.abs().sum() > 1:", "    X /= 2", "return X.sum()"],
    }
    for architecture in (block, ["Linear(20, 20)", block], {"inputs": ["x"], "forward": "return x[x > 0]"}):
        reply = check(service, architecture=architecture, input_shapes=[2, 20])
        assert reply.status_code == 200, reply.text
        assert reply.json()["output_shapes"] is None
        assert "values" in reply.json()["note"]
