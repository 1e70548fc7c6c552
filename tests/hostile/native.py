"""Forwards that hand PyTorch's native code what could crash it: (what it tries, lines, inputs, code, words).

`TRUSTING` is where PyTorch itself does not check (a fuzzer found them). `ENDS_WELL` looks bad and has an answer.
"""

from typing import Any

Row = tuple[str, list[str], Any, str, str]

LIMIT, BAD, SHAPE = "limit-exceeded", "bad-arguments", "shape-mismatch"
X = [[1.0, 2.0], [3.0, 4.0]]


def whole(*numbers: int) -> dict[str, Any]:
    """A tensor of int64."""
    return {"dtype": "int64", "data": list(numbers)}


CHECKED: list[Row] = [
    ("embedding out of range", ["return F.embedding(x, ones(3, 2))"], whole(0, 99), BAD, "index out of range in self"),
    ("embedding below zero", ["return F.embedding(x, ones(3, 2))"], whole(-1, 0), BAD, "index out of range in self"),
    (
        "gather out of range",
        ["return torch.gather(ones(3), 0, x)"],
        whole(0, 2**40),
        BAD,
        "index 1099511627776 is out of",
    ),
    (
        "scatter out of range",
        ["return torch.scatter(ones(3), 0, x, 1.0)"],
        whole(-9),
        BAD,
        "index -9 is out of bounds for",
    ),
    (
        "scatter_add out of range",
        ["return torch.scatter_add(ones(3), 0, x, ones(1))"],
        whole(3),
        BAD,
        "index 3 is out of bounds for",
    ),
    (
        "index_select out of range",
        ["return torch.index_select(ones(3), 0, x)"],
        whole(-5),
        BAD,
        "index out of range in self",
    ),
    (
        "index_add out of range",
        ["return torch.index_add(ones(3), 0, x, ones(1))"],
        whole(7),
        BAD,
        "index out of range in self",
    ),
    (
        "index_copy out of range",
        ["return torch.index_copy(ones(3), 0, x, ones(1))"],
        whole(7),
        BAD,
        "index_copy_(): index 7 is out of",
    ),
    (
        "index_fill out of range",
        ["return torch.index_fill(ones(3), 0, x, 1.0)"],
        whole(7),
        BAD,
        "index 7 is out of bounds for",
    ),
    (
        "index_put out of range",
        ["return torch.index_put(ones(3), (x,), ones(1))"],
        whole(7),
        BAD,
        "index 7 is out of bounds for",
    ),
    (
        "put out of range",
        ["return torch.put(ones(3), x, ones(1))"],
        whole(7),
        BAD,
        "out of range: tried to access index",
    ),
    ("take out of range", ["return torch.take(ones(3), x)"], whole(-7), BAD, "out of range: tried to access index"),
    ("take from nothing", ["return torch.take(ones(0), x)"], whole(0), BAD, "take(): tried to take from an empty"),
    ("an index tensor out of range", ["return ones(3)[x]"], whole(7), BAD, "index 7 is out of bounds for"),
    ("nll_loss out of range", ["return F.nll_loss(ones(1, 3), x)"], whole(3), BAD, "Target 3 is out of bounds"),
    (
        "nll_loss in 2-d out of range",
        ["return F.nll_loss(ones(1, 3, 1), x[None])"],
        whole(-3),
        BAD,
        "Target -3 is out of bounds",
    ),
    (
        "cross_entropy out of range",
        ["return F.cross_entropy(ones(1, 3), x)"],
        whole(2**40),
        BAD,
        "Target 1099511627776 is out of",
    ),
    (
        "multi_margin_loss out of range",
        ["return F.multi_margin_loss(ones(1, 3), x)"],
        whole(9),
        BAD,
        "target out of range",
    ),
    (
        "multilabel_margin_loss out of range",
        ["return F.multilabel_margin_loss(ones(3), x)"],
        whole(9, 9, 9),
        BAD,
        "argument #2 'target' is out of range",
    ),
    (
        "ctc_loss with targets out of range",
        ["return F.ctc_loss(ones(5, 1, 3), x[None], [5], [3])"],
        whole(9, 9, 9),
        BAD,
        "targets of ctc_loss are classes",
    ),
    (
        "ctc_loss with lengths past its targets",
        ["return F.ctc_loss(ones(5, 1, 3), x[None], [5], [99])"],
        whole(0, 1, 2),
        SHAPE,
        "Expected tensor to have size at",
    ),
    (
        "ctc_loss with lengths below zero",
        ["return F.ctc_loss(ones(5, 1, 3), x[None], [-5], [-3])"],
        whole(0, 1, 2),
        BAD,
        "Expected target_lengths to have",
    ),
    (
        "max_unpool out of range",
        ["return F.max_unpool1d(ones(1, 1, 3), x[None, None], 2)"],
        whole(0, 99, 2**40),
        SHAPE,
        "Found an invalid max index:",
    ),
    (
        "max_unpool below zero",
        ["return F.max_unpool2d(ones(1, 1, 1, 3), x[None, None, None], 2)"],
        whole(-1, 0, 0),
        SHAPE,
        "Found an invalid max index: -1",
    ),
    (
        "searchsorted with a sorter out of range",
        ["return torch.searchsorted(ones(3), ones(1), sorter=x)"],
        whole(9, 9, 9),
        BAD,
        "torch.searchsorted(): sorter index",
    ),
    ("pooling with a kernel of 0", ["return F.max_pool1d(x[None], 0)"], X, SHAPE, "max_pool1d() kernel_size must be"),
    ("pooling with a stride of 0", ["return F.avg_pool1d(x[None], 1, 0)"], X, BAD, "stride should not be zero"),
    (
        "pooling with a padding past half",
        ["return F.max_pool1d(x[None], 1, 1, 5)"],
        X,
        SHAPE,
        "max_pool1d() padding should be at",
    ),
    (
        "pooling with a divisor of 0",
        ["return F.avg_pool2d(x[None], 1, divisor_override=0)"],
        X,
        BAD,
        "divisor must be not zero",
    ),
    (
        "adaptive pooling below zero",
        ["return F.adaptive_max_pool1d(x[None], -1)"],
        X,
        BAD,
        "Trying to create tensor with",
    ),
    ("interpolate to 0", ["return F.interpolate(x[None], size=0)"], X, SHAPE, "Input and output sizes should be"),
    (
        "interpolate by NaN",
        ["return F.interpolate(x[None], scale_factor=nan)"],
        X,
        LIMIT,
        "a tensor would have more elements",
    ),
    (
        "interpolate by a number below zero",
        ["return F.interpolate(x[None], scale_factor=-1.0)"],
        X,
        SHAPE,
        "Input and output sizes should be",
    ),
    ("unfold with a size of 10", ["return x.unfold(0, 10, 1)"], X, SHAPE, "maximum size for tensor at"),
    ("unfold with a step of 0", ["return x.unfold(0, 1, 0)"], X, BAD, "step is 0 but must be > 0"),
    (
        "fold with a stride of 0",
        ["return F.fold(ones(1, 4, 1), 2, 2, stride=0)"],
        X,
        BAD,
        "stride should be greater than zero,",
    ),
    (
        "a convolution's stride of 0",
        ["return F.conv1d(x[None], ones(1, 2, 1), stride=0)"],
        X,
        BAD,
        "non-positive stride is not supported",
    ),
    (
        "a convolution's dilation below zero",
        ["return F.conv1d(x[None], ones(1, 2, 1), dilation=-1)"],
        X,
        BAD,
        "dilation should be greater than zero",
    ),
    (
        "a convolution's kernel of 0",
        ["return F.conv1d(x[None], ones(1, 2, 0))"],
        X,
        SHAPE,
        "kernel size should be greater than",
    ),
    ("multinomial of NaN", ["return torch.multinomial(x * nan, 1)"], X, BAD, "probability tensor contains either"),
    ("multinomial below zero", ["return torch.multinomial(-x, 1)"], X, BAD, "probability tensor contains either"),
    ("bernoulli of 7", ["return torch.bernoulli(x + 7)"], X, BAD, "Expected p_in >= 0 && p_in <= 1 to"),
    ("histc from infinity", ["return histc(x, 3, -inf, inf)"], X, BAD, "torch.histc: range of [-inf, inf]"),
    ("a division of integers by zero", ["return x // 0"], whole(0, 1, 2), BAD, "whole numbers are divided by zero"),
    ("a modulo of integers by zero", ["return x % 0"], whole(0, 1, 2), BAD, "whole numbers are divided by zero"),
    ("kthvalue of 10**18", ["return torch.kthvalue(x, 10**18)"], X, BAD, "kthvalue(): selected number k out"),
    ("topk of 10**18", ["return torch.topk(x, 10**18)"], X, BAD, "selected index k out of range"),
    ("narrow past the end", ["return torch.narrow(x, 0, 1, 2**62)"], X, SHAPE, "start (1) + length"),
    ("a view of another size", ["return x.view(3)"], X, SHAPE, "shape '[3]' is invalid for input of"),
    (
        "a view as a wider dtype",
        ["return x[:, :1].view(torch.float64)"],
        X,
        SHAPE,
        "self.size(-1) must be divisible by",
    ),
    (
        "a Cholesky of what is not positive",
        ["return torch.linalg.cholesky(-x)"],
        X,
        BAD,
        "linalg.cholesky: The factorization",
    ),
    ("an inverse of the singular", ["return torch.linalg.inv(x * 0)"], X, BAD, "linalg.inv: The diagonal element 1"),
    ("an eigenvalue of NaN", ["return torch.linalg.eigvals(x * nan)"], X, BAD, "eigvals takes matrices of finite"),
    ("a quantile of 2", ["return torch.quantile(x, 2.0)"], X, BAD, "quantile() q must be in the range"),
    (
        "a batch norm of odd statistics",
        ["return F.batch_norm(x, ones(3), ones(3))"],
        X,
        SHAPE,
        "running_mean should contain 2",
    ),
    ("a group norm of no groups", ["return F.group_norm(x, 0)"], X, BAD, "integer division or modulo by zero"),
    (
        "a bit shift of floats",
        ["return torch.bitwise_left_shift(x, 2)"],
        X,
        BAD,
        "\"lshift_cpu\" not implemented for 'Float'",
    ),
    ("a matrix power of 1.5", ["return torch.matrix_power(x, 1.5)"], X, BAD, "matrix_power(): argument 'n'"),
    (
        "a matrix power of 10**18 of integers",
        ["return torch.matrix_power(ones(3, 3).long(), 10**18 * 10)"],
        X,
        LIMIT,
        "whole numbers are limited to 64",
    ),
]

TRUSTING: list[Row] = [
    (
        "repeats whose sum wraps around",
        ["return repeat_interleave(x)"],
        whole(2**63 - 1, 2**63 - 1, 3),
        LIMIT,
        "a tensor would take",
    ),
    (
        "fractional pooling of a window below zero",
        ["return F.fractional_max_pool2d(ones(1, 8, 8), -2147483648, 4)"],
        X,
        BAD,
        "kernel_size is more than 0, not",
    ),
    (
        "fractional pooling of an endless ratio",
        ["return F.fractional_max_pool3d(ones(1, 8, 8, 8), 2, None, inf)"],
        X,
        BAD,
        "output_ratio is more than 0, not inf",
    ),
    (
        "embedding_bag with offsets below zero",
        ["return F.embedding_bag(x, ones(4, 4).half(), tensor([0, -65536], dtype=torch.int32), mode='sum')"],
        {"dtype": "int32", "data": [0, 1, 1]},
        BAD,
        "offsets begin with 0 and rise to at",
    ),
    (
        "embedding_bag with offsets past the end",
        ["return F.embedding_bag(x, ones(4, 4), tensor([0, 99, 2]), mode='sum')"],
        whole(0, 1, 2),
        BAD,
        "offsets begin with 0 and rise to at",
    ),
    (
        "embedding_bag with offsets that fall",
        ["return F.embedding_bag(x, ones(4, 4), tensor([0, 3, 1]), mode='max')"],
        whole(0, 1, 2),
        BAD,
        "offsets begin with 0 and rise to at",
    ),
    (
        "embedding_bag with indexes out of range",
        ["return F.embedding_bag(x, ones(2, 4), tensor([0]))"],
        whole(0, 99),
        BAD,
        "Index 1 of input takes value 99",
    ),
    (
        "least squares of no columns",
        ["return torch.linalg.lstsq(-ones(1, 4), ones(1, 0), driver='gelss')"],
        X,
        BAD,
        "lstsq takes matrices with at least",
    ),
    (
        "least squares of NaN",
        ["return torch.linalg.lstsq(x * nan, x, driver='gelsy')"],
        X,
        BAD,
        "lstsq takes matrices of finite",
    ),
    (
        "grouped attention of no heads",
        ["y = ones(3, 3, 3, 1)", "return F.scaled_dot_product_attention(y, ones(4, 0, 3, 3), y, enable_gqa=True)"],
        X,
        BAD,
        "key has no heads to group",
    ),
    (
        "binomial of counts that are none",
        ["return torch.binomial(tensor([nan, -1e300]), tensor([0.5, 0.5]))"],
        X,
        BAD,
        "counts of binomial are finite and",
    ),
]

ENDS_WELL: list[tuple[str, list[str], Any]] = [
    ("grid_sample of NaN", ["return F.grid_sample(x[None, None], ones(1, 2, 2, 2) * nan)"], X),
    ("grid_sample of infinity", ["return F.grid_sample(x[None, None], ones(1, 2, 2, 2) * inf, mode='bicubic')"], X),
    ("the least integer divided by -1", ["return x // -1"], whole(-(2**63))),
    ("the least integer modulo -1", ["return x % -1"], whole(-(2**63))),
    ("a shift by 1000 bits", ["return torch.bitwise_left_shift(x, 1000)"], whole(0, 1, 2)),
    ("a gradient of nothing", ["return torch.cumsum(ones(0, 3), 0)"], X),
    ("a matrix exponential of infinity", ["return torch.matrix_exp(x * inf)"], X),
    ("a matrix power of 10**9", ["return torch.matrix_power(x / 100, 10**9)"], X),
    ("a softmax of nothing", ["return softmax(ones(0, 0), 0)"], X),
    ("NaN turned into integers", ["return (x * nan).long()"], X),
    ("a singular value of infinity", ["return torch.linalg.svdvals(x * inf)"], X),
    ("a sort of NaN", ["return (x * nan).sort().values"], X),
    ("poisson of 1e30", ["return torch.poisson(x * 1e30)"], X),
]

BAGS = {"input": whole(0, 1, 2), "offsets": whole(0, -65536)}
CLASSES = {"log_probs": [[[1, 2, 3]]], "targets": whole(9), "input_lengths": whole(1), "target_lengths": whole(1)}
CLASSES["targets"]["shape"] = [1, 1]

LAYERS: list[tuple[str, Any, Any, str, str]] = [
    ("bags with offsets below zero", "EmbeddingBag(4, 4, mode='sum')", BAGS, BAD, "offsets begin with 0"),
    ("bags with offsets that fall", "EmbeddingBag(4, 4)", BAGS | {"offsets": whole(0, 3, 1)}, BAD, "offsets begin"),
    ("a CTC loss of a class that is none", "CTCLoss()", CLASSES, BAD, "classes from 0 to 2"),
    ("an embedding out of range", "Embedding(4, 4)", whole(4), BAD, "indices from 0 to 3"),
    ("an embedding with a norm, out of range", "Embedding(4, 4, max_norm=1)", whole(9), BAD, "indices from 0 to 3"),
    ("an output of 70 dimensions", "Unflatten(0, [1] * 70)", [1], LIMIT, "70 dimensions"),
    ("a pooling window below zero", "FractionalMaxPool2d(-5, output_size=4)", [[[[1.0] * 8] * 8]], BAD, "more than 0"),
]
