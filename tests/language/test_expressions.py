"""Expressions: what they are made of, what they see, and how they are evaluated."""

import math

import pytest
import torch
from torch import nn

from app.errors import Unprocessable
from app.language.compile import evaluate, running
from app.language.errors import LanguageError
from app.language.syntax import Input, parse_expression, parse_input
from app.settings import Limits

LIMITS = Limits()


def value(text: str, calls=None, **values: object):
    return evaluate(text, values, calls=calls or {}, limits=LIMITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 * d + 1", 7),
        ("d ** 2 // 2 % 3", 1),
        ("-d", -3),
        ("not d", False),
        ("d == 3 and 'same' or 4", "same"),
        ("1 if d > 5 else 2", 2),
        ("(d, 4 * d)", (3, 12)),
        ("[d] * 2 + [1]", [3, 3, 1]),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("torch.pi", math.pi),
        ("float32", torch.float32),
        ("torch.long", torch.int64),
        ("True", True),
        ("None", None),
        ("'tanh'", "tanh"),
        ("1 < d < 4", True),
        ("1 < d < 3", False),
        ("sqrt(16) + log(8, 2) + abs(-1)", 8.0),
        ("max(d, 5) - min(d, 5) + round(2.567, 2)", 4.57),
        ("d in (1, 3)", True),
        ("d not in [1, 3]", False),
        ("sum([1, 2, d])", 6),
        ("pow(2, d)", 8),
        ("2 ** 62 + (2 ** 62 - 1)", 2**63 - 1),
        ("  d  ", 3),
        ("(d +\n 1)", 4),
    ],
)
def test_an_expression_of_numbers_has_the_value_it_has_in_python(text: str, expected: object) -> None:
    assert value(text, d=3) == expected


def test_nan_is_nan() -> None:
    assert math.isnan(value("nan"))


def test_an_edit_of_a_parameter_equals_pytorch() -> None:
    param = torch.randn(4, 4) * 8
    assert torch.equal(value("param * (abs(param) >= 5)", param=param), param * (param.abs() >= 5))
    assert torch.equal(value("param + 1", param=param), param + 1)


def test_first_values_are_pytorchs_own_and_work_on_meta_without_memory() -> None:
    torch.manual_seed(7)
    mine = value("randn(in_units, units)", in_units=3, units=2)
    torch.manual_seed(7)
    assert torch.equal(mine, torch.randn(3, 2))
    assert torch.equal(value("tensor([[1., 2.]])"), torch.tensor([[1.0, 2.0]]))
    with torch.device("meta"):
        for text in (
            "randn(3, 4)",
            "zeros(4)",
            "tensor([[1., 2.]])",
            "eye(3) * 2",
            "rand(10000, 10000)",
            "full((2,), 1.0)",
        ):
            assert value(text).device.type == "meta", text


def test_max_and_min_of_one_number_as_a_tensor_and_a_plain_one_choose_as_python_does() -> None:
    low, high = torch.tensor(-2.0), torch.tensor(3.0)
    for text, expected in (("max(x, 0)", 0), ("min(x, 0)", low), ("max(0, x)", 0), ("min(x, -5.0)", -5.0)):
        assert value(text, x=low) == expected, text
    assert value("max(x, 0)", x=high) is high
    table = torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert torch.equal(value("max(x, 0)", x=table).values, torch.max(table, 0).values)
    assert torch.equal(value("torch.max(x, 0)", x=low).values, low)
    with pytest.raises(LanguageError):
        value("max(x, True)", x=table)


def test_round_takes_no_more_digits_than_a_float_has() -> None:
    assert value("round(1234, -2)") == 1200
    assert value("round(5, -400)") == 0
    assert value("round(0.1234, 400)") == 0.1234
    for text in ("round(5, -30000000)", "round(5, ndigits=-30000000)", "round(1.5, 401)"):
        with pytest.raises(LanguageError) as caught:
            value(text)
        assert caught.value.code == "limit-exceeded"
    for text in ("round(5, tensor(-30000000))", "round(5, 1.5)"):
        with pytest.raises(LanguageError) as caught:
            value(text)
        assert caught.value.code == "bad-arguments"


def test_what_is_called_may_be_given_by_the_caller() -> None:
    layer = value("Linear(d, 4 * d, bias=False)", calls={"Linear": nn.Linear}, d=3)
    assert (layer.in_features, layer.out_features, layer.bias) == (3, 12, None)
    for spelling in ("nn.ReLU()", "torch.nn.ReLU()"):
        assert isinstance(value(spelling, calls={"ReLU": nn.ReLU}), nn.ReLU)
    assert value("Wrap(Wrap(1))", calls={"Wrap": lambda inner: [inner]}) == [[1]]
    assert isinstance(value("Linear(c, 2) if c != k else Identity()", calls=vars(nn), c=1, k=1), nn.Identity)


def test_calls_of_the_caller_come_before_functions_and_values_before_both() -> None:
    assert value("relu(1)", calls={"relu": lambda x: x + 1}) == 2
    assert value("relu + 1", relu=4) == 5


def test_an_expression_tells_its_names_and_what_it_calls() -> None:
    parsed = parse_expression("Linear(d, 4 * k, dtype=torch.float32) if F.relu(e) > inf else nn.Identity()", LIMITS)
    assert parsed.names == {"d", "k", "e"}
    assert parsed.called == {"Linear", "Identity"}
    assert parse_expression("same", LIMITS).names == {"same"}
    assert parse_expression("'same'", LIMITS).quoted == "same"
    assert parse_expression("x.abs().sum()", LIMITS).names == {"x"}


def test_an_input_is_a_name_with_or_without_a_literal_default() -> None:
    assert parse_input("X", LIMITS) == Input("X", required=True)
    assert parse_input("mask=None", LIMITS) == Input("mask", required=False, default=None)
    assert parse_input("eps = -1e-5", LIMITS) == Input("eps", required=False, default=-1e-5)
    assert parse_input("sizes=[1, (2, inf)]", LIMITS).default == (1, (2, math.inf))
    for bad in ("self", "a b", "x=y", "x=relu(1)", "*xs", "", "x=", "torch", "\ufb01", "__x", "x==1"):
        with pytest.raises(LanguageError):
            parse_input(bad, LIMITS)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("unknown + 1", "bad-expression"),
        ("relo(x)", "bad-expression"),
        ("torch.relo(x)", "bad-expression"),
        ("torch.nothing", "bad-expression"),
        ("1 / 0", "bad-arguments"),
        ("2 ** 63", "limit-exceeded"),
        ("2 ** 64 - 1", "limit-exceeded"),
        ("(2 ** 62) * 2", "limit-exceeded"),
        ("10.0 ** 1000", "bad-arguments"),
        ("sqrt(-1)", "bad-arguments"),
        ("int(inf)", "bad-arguments"),
        ("float('nan')", "bad-arguments"),
        ("int('9')", "bad-arguments"),
        ("zeros(2) @ zeros(3)", "shape-mismatch"),
        ("x + 'a'", "bad-arguments"),
        ("zeros(-1)", "bad-arguments"),
        ("zeros('a')", "bad-arguments"),
        ("zeros(2, device='cuda')", "bad-expression"),
        ("x[5]", "shape-mismatch"),
        ("x['a']", "bad-arguments"),
        ("x.shape[9]", "bad-arguments"),
        ("relu", "bad-expression"),
        ("range(3)", "bad-expression"),
        ("eye(10 ** 6)", "limit-exceeded"),
        ("arange(10 ** 12)", "limit-exceeded"),
        ("linspace(0, 1, 10 ** 12)", "limit-exceeded"),
        ("zeros([1] * 40)", "limit-exceeded"),
        ("combinations(arange(1000), 5)", "limit-exceeded"),
        ("cartesian_prod(*[1])", "bad-expression"),
        ("repeat_interleave(x, 10 ** 12)", "limit-exceeded"),
        ("x.tile(10 ** 12)", "limit-exceeded"),
        ("pad(x, (0, 10 ** 10))", "limit-exceeded"),
        ("outer(zeros(10 ** 5), zeros(10 ** 5))", "limit-exceeded"),
        ("diag(zeros(10 ** 6))", "limit-exceeded"),
        ("tril_indices(10 ** 6, 10 ** 6)", "limit-exceeded"),
        ("randperm(10 ** 12)", "limit-exceeded"),
        ("hann_window(10 ** 12)", "limit-exceeded"),
        ("unbind(zeros(20000))", "limit-exceeded"),
        ("bincount(tensor([10 ** 12]))", "limit-exceeded"),
        ("fft.fft(x, 10 ** 10)", "limit-exceeded"),
        ("interpolate(x[None, None], 10 ** 10)", "limit-exceeded"),
        ("ctc_loss(zeros(5, 1, 3), tensor([[7]]), tensor([5]), tensor([1]))", "bad-arguments"),
    ],
)
def test_a_bad_expression_says_so_in_the_languages_words(text: str, code: str) -> None:
    with pytest.raises(LanguageError) as caught:
        value(text, x=torch.ones(4))
    assert caught.value.code == code, str(caught.value)
    assert caught.value.line == 1
    assert caught.value.column is not None


def test_near_names_are_suggested() -> None:
    with pytest.raises(LanguageError, match="did you mean in_units"):
        value("in_unts", in_units=1)


def test_an_evaluation_inside_a_running_call_keeps_its_limits() -> None:
    with running(device=None, dtype=None, limits=Limits(tensor_bytes=100)), pytest.raises(LanguageError):
        value("zeros(1000)")


def test_an_error_of_the_house_raised_by_what_is_called_passes_as_it_is() -> None:
    def refuse() -> None:
        raise Unprocessable("no")

    with pytest.raises(Unprocessable):
        value("Block()", calls={"Block": refuse})
