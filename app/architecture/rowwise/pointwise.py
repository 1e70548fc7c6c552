"""Rules of operations that work on each element by itself: what they give at one place comes from that place alone.

Tensors that meet there are laid over one another, and rows must lie on the same rows.
"""

from app.architecture.rowwise.forms import Drawn, Form, Value, forms_in, mixed
from app.architecture.rowwise.rules import Call, all_numbers, broadcast, rule

EACH = "each element is worked on by itself"
SAME = "every element stays where it is"

_NUMBERS = """
    abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not ceil
    conj conj_physical cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac i0 imag lgamma log log10
    log1p log2 logit nan_to_num neg negative positive rad2deg real reciprocal round rsqrt sgn sigmoid sign sin sinc sinh
    sqrt square tan tanh trunc relu selu celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid
    mish relu6 silu softplus softshrink softsign tanhshrink threshold mvlgamma polygamma
    add addcdiv addcmul arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor clamp
    clamp_max clamp_min clip complex copysign div divide float_power floor_divide fmax fmin fmod gcd heaviside hypot
    igamma igammac lcm ldexp lerp logaddexp logaddexp2 masked_fill maximum minimum mul multiply nextafter polar pow
    remainder rsub sub subtract true_divide xlogy
    special.airy_ai special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1 special.digamma special.entr
    special.erf special.erfc special.erfcx special.erfinv special.exp2 special.expit special.expm1 special.gammainc
    special.gammaincc special.gammaln special.i0 special.i0e special.i1 special.i1e special.log1p special.log_ndtr
    special.logit special.modified_bessel_i0 special.modified_bessel_i1 special.modified_bessel_k0
    special.modified_bessel_k1 special.multigammaln special.ndtr special.ndtri special.polygamma special.psi
    special.round special.scaled_modified_bessel_k0 special.scaled_modified_bessel_k1 special.sinc
    special.spherical_bessel_j0 special.xlog1py special.xlogy special.zeta
"""
_TESTS = """
    isfinite isinf isnan isneginf isposinf isreal signbit logical_not
    eq ge greater greater_equal gt isclose le less less_equal lt ne not_equal logical_and logical_or logical_xor
"""


@rule(_NUMBERS, "*values, **named", why=EACH)
def each(call: Call) -> Form:
    return Form(broadcast(call.operation, tensors_of(call)))


@rule(_TESTS, "*values, **named", why=EACH)
def each_tested(call: Call) -> Form:
    return Form(broadcast(call.operation, tensors_of(call)), "boolean")


def tensors_of(call: Call) -> list[Form]:
    """All tensors among the arguments, of which the others are plain values."""
    rest = call["values"]
    assert isinstance(rest, tuple)
    given: list[Value] = [*rest, *(value for key, value in call.values.items() if key != "values")]
    all_numbers(call.operation, given)
    return list(forms_in(given))


@rule("where", "condition, input, other", why=EACH)
def chosen(call: Call) -> Form:
    return Form(broadcast(call.operation, list(forms_in(call.values.values()))))


@rule("isin", "elements, test_elements, *, assume_unique=False, invert=False", why=EACH)
def found(call: Call) -> Form:
    call.without_rows("test_elements")
    return Form(call.sizes("elements"), "boolean")


@rule("bucketize", "input, boundaries, *, out_int32=False, right=False", why=EACH)
def counted(call: Call) -> Form:
    call.without_rows("boundaries")
    return Form(call.sizes(), "integer")


@rule("one_hot", "input, num_classes=-1", why=EACH)
def one_hot(call: Call) -> Form:
    classes = call["num_classes"]
    if not isinstance(classes, int) or classes < 0:
        mixed(call.operation, "counts its classes over all rows; give num_classes")
    return Form((*call.sizes(), classes), "integer")


@rule("prelu", "input, weight", why=EACH)
def prelu(call: Call) -> Form:
    call.without_rows("weight")
    one = call.sizes("weight") in ((), (1,))
    if not one:
        call.leading(call.form(), range(2, 64))
    return Form(call.sizes())


@rule("rrelu", "input, lower=0.125, upper=0.333, training=False", why=EACH)
@rule(
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout", "input, p=0.5, training=True", why=SAME
)
def dropout(call: Call) -> Form:
    if call["training"] is not False:
        raise Drawn(call.operation, "draws random numbers unless training=False (or training=self.training) is given")
    return call.form()


@rule("clone detach contiguous method.half method.float method.double method.bfloat16", "input, **named", why=SAME)
def kept(call: Call) -> Form:
    return Form(call.sizes())


@rule("method.long method.int method.short method.char method.byte", "input", why=EACH)
def as_integers(call: Call) -> Form:
    return Form(call.sizes(), "integer")


@rule("method.bool", "input", why=EACH)
def as_booleans(call: Call) -> Form:
    return Form(call.sizes(), "boolean")


@rule("to type_as", "input, other=None, *more, **named", why=EACH)
def converted(call: Call) -> Form:
    return Form(call.sizes())


@rule("zeros_like ones_like full_like", "input, fill_value=0, **named", why="every element is the same")
def filled_like(call: Call) -> Form:
    call.without_rows("fill_value")
    return Form(call.sizes())
