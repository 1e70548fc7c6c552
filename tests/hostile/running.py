"""Forwards that ask for too much, or for what is none, when they run: (what it tries, lines, inputs, code, words).

All are made without complaint. `KILLED` ends at the deadline alone.
"""

from typing import Any

Row = tuple[str, list[str], Any, str, str]

LIMIT, BAD, SHAPE = "limit-exceeded", "bad-arguments", "shape-mismatch"
X = [[1.0, 2.0], [3.0, 4.0]]

REFUSED: list[Row] = [
    ("while true", ["while 1 > 0:", "    x = x", "return x"], X, LIMIT, "the loops of one forward may take"),
    (
        "while a tensor",
        ["while (x > 0).all():", "    x = x + 1", "return x"],
        X,
        LIMIT,
        "the loops of one forward may take",
    ),
    (
        "a range of 10**18",
        ["for i in range(10**18):", "    x = x", "return x"],
        X,
        LIMIT,
        "the loops of one forward may take",
    ),
    (
        "ranges inside ranges",
        [*("    " * n + f"for i{n} in range(1000):" for n in range(6)), "    " * 6 + "x = x", "return x"],
        X,
        LIMIT,
        "the loops of one forward may take",
    ),
    (
        "a list that grows while it is walked",
        ["y = [1]", "for a in y:", "    y.append(a)", "return x"],
        X,
        LIMIT,
        "a list would have 10001 elements;",
    ),
    (
        "a range with a step of zero",
        ["for i in range(0, 10, 0):", "    x = x", "return x"],
        X,
        BAD,
        "the step of range cannot be 0",
    ),
    ("a range of floats", ["for i in range(2.5):", "    x = x", "return x"], X, BAD, "range takes one to three whole"),
    ("a loop over a number", ["for i in 5:", "    x = x", "return x"], X, BAD, "for walks over range, enumerate,"),
    (
        "a loop over a tensor of a million rows",
        ["for y in ones(10**6):", "    x = x + y", "return x"],
        X,
        LIMIT,
        "a list would have 1000000 elements;",
    ),
    ("an index of self by a sum", ["return self['a' + 'b'](x)"], X, BAD, "a text + a text is not defined"),
    ("a loop over a text", ["for c in 'abc': x = x + 1", "return x"], X, BAD, "for walks over range, enumerate,"),
    ("a return of a text", ["y = 'text'", "return y"], X, "bad-output", "forward returned a text; outputs are"),
    (
        "a local that hides a function and is called",
        ["relu = x", "return relu(x)"],
        X,
        BAD,
        "a tensor is not called; functions",
    ),
    ("a tensor called", ["return x(x)"], X, BAD, "a tensor is not called; functions"),
    (
        "a list method beyond append and pop",
        ["y = ([], 1)", "y[0].extend([x])", "return y"],
        X,
        "bad-expression",
        "a list has no extend",
    ),
    ("a list's sort", ["y = [2, 1]", "y.sort()", "return x"], X, BAD, "a list has no sort; a tensor has"),
    ("a tensor as a size", ["return zeros(x)"], X, BAD, "zeros(): argument 'size' (position"),
    ("a list as a tensor", ["return relu([1, 2])"], X, BAD, "relu(): argument 'input' (position"),
    ("a tuple's method", ["return (x, x).sum()"], X, BAD, "a tuple has no sum; a tensor has"),
    (
        "a method of a number",
        ["n = (3, 1)", "return n[0].bit_length()"],
        X,
        "bad-expression",
        "a number has no bit_length",
    ),
    ("a method of a dtype", ["d = x.dtype", "return d.to_real()"], X, "bad-expression", "a dtype has no to_real"),
    ("an attribute of a shape", ["s = x.shape", "return s.count(2)"], X, "bad-expression", "a tuple has no count"),
    ("a result's fields", ["m = x.max(1)", "return m.n_fields"], X, "bad-expression", "a tuple has no n_fields"),
    ("a list called", ["y = [x]", "return y(x)"], X, BAD, "a list is not called; functions and"),
    ("a number called", ["y = 3", "return y(x)"], X, BAD, "a number is not called; functions"),
    ("a dtype returned", ["return x.dtype"], X, "bad-output", "forward returned a dtype; outputs are"),
    ("a device returned", ["return x.device"], X, "bad-output", "forward returned a device; outputs are"),
    ("an index that is a text", ["return x['a']"], X, BAD, "a tensor cannot be indexed with a"),
    ("an index that is a float", ["return x[1.5]"], X, BAD, "a tensor cannot be indexed with a"),
    ("an index of 10**18", ["return x[10**18]"], X, BAD, "index 1000000000000000000 is out of"),
    ("an index by an object", ["return x[x.dtype]"], X, BAD, "a tensor cannot be indexed with a"),
    ("a truth of many", ["return x if x else x"], X, BAD, "Boolean value of Tensor with more"),
    ("an item of many", ["return x.item()"], X, BAD, "a Tensor with 4 elements cannot be"),
    ("a comparison of kinds", ["return x < 'a'"], X, BAD, "a tensor < a text is not defined"),
    ("a sum of kinds", ["return x + [1]"], X, BAD, "a tensor + a list is not defined"),
    ("a negative list", ["return -[1]"], X, BAD, "- of a list is not defined"),
    ("inverting a truth", ["return ~True"], X, BAD, "~ takes a tensor, not a truth"),
    ("unpacking too many", ["a, b, c = x", "return a"], X, BAD, "not enough values to unpack"),
    ("unpacking a number", ["a, b = 3", "return a"], X, BAD, "cannot unpack non-iterable int"),
    (
        "a local before it is there",
        ["if x.sum() > 100:", "    y = x", "return y"],
        X,
        "bad-expression",
        "y is used before anything was assigned to it",
    ),
    ("pop of nothing", ["y = []", "return y.pop()"], X, BAD, "index -1 is outside a list of 0"),
    ("pop of 10**18", ["y = [x]", "return y.pop(10**18)"], X, BAD, "index 1000000000000000000 is"),
    ("int of NaN", ["return int(nan)"], X, BAD, "int(nan): cannot convert float NaN"),
    ("int of infinity", ["return int(inf)"], X, BAD, "int(inf): cannot convert float"),
    ("int of a text", ["return int('1' * 1)"], X, BAD, "a text * a number is not defined"),
    ("float of a text", ["return float('nan')"], X, BAD, "float takes a number, not a text;"),
    ("round of infinity", ["return round(inf)"], X, BAD, "round(inf): cannot convert float"),
    ("the square root of -1", ["return sqrt(-1)"], X, BAD, "sqrt(-1): math domain error"),
    ("the logarithm of 0", ["return log(0)"], X, BAD, "log(0): math domain error"),
    ("exp of 10,000", ["return exp(10000)"], X, BAD, "exp(10000): math range error"),
    ("len of a number", ["return len(3)"], X, BAD, "a number has no len"),
    ("max of nothing", ["return max([])"], X, BAD, "max takes numbers, a list of"),
    (
        "a padding mode that is a path",
        ["return F.pad(x[None], (1, 1), mode='../../x')"],
        X,
        BAD,
        "Unrecognised padding mode ../../x",
    ),
    ("an einsum that is no equation", ["return einsum('__import__', x)"], X, BAD, "einsum(): invalid subscript given"),
    (
        "a reduction that is none",
        ["return F.mse_loss(x, x, reduction='__class__')"],
        X,
        BAD,
        "__class__ is not a valid value for",
    ),
    (
        "a driver that is none",
        ["return torch.linalg.lstsq(x, x, driver='gels; rm')"],
        X,
        BAD,
        "torch.linalg.lstsq: parameter",
    ),
    ("a norm that is none", ["return torch.norm(x, '__class__')"], X, BAD, "linalg.matrix_norm: Order __class__"),
]

KILLED: list[tuple[str, list[str], Any]] = [
    (
        "a matrix product that takes minutes",
        ["y = ones(8000, 8000)", "for i in range(100):", "    y = y @ y * 0.0001", "return y.sum()"],
        X,
    ),
    (
        "a sort of everything again and again",
        ["y = rand(20000000)", "for i in range(1000):", "    y = y.sort().values.flip(0)", "return y.sum()"],
        X,
    ),
]
