"""Rules of what `torch.nn.functional` does to samples: convolutions, pools, norms, resizing, look-ups.

These take samples in dimension 0 and keep them apart. Sizes behind the channels are seldom known, and seldom needed.
"""

from app.architecture.rowwise.forms import Form, Value, mixed
from app.architecture.rowwise.rules import Call, listed, rank_of, rule, whole_sizes
from app.architecture.rowwise.sizes import Whole, counts_rows, fresh, same

SAMPLES = "samples in dimension 0 are worked on one by one"
LAST = "the dimensions it works over do not hold the rows"


def _spatial(call: Call) -> int:
    """The number of spatial dimensions, which is in the name."""
    return int(next(letter for letter in call.operation if letter.isdigit()))


def _unknown(count: int) -> tuple[Whole, ...]:
    return tuple(fresh() for _ in range(count))


_CONV = "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1"
_CONV_TRANSPOSE = "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1"


@rule("conv1d conv2d conv3d", _CONV, why=SAMPLES)
@rule("conv_transpose1d conv_transpose2d conv_transpose3d", _CONV_TRANSPOSE, why=SAMPLES)
def convolved(call: Call) -> Form:
    call.without_rows("weight", "bias")
    form, count = call.form(), _spatial(call)
    call.leading(form, count + 2)
    channels = call.sizes("weight")[0] if "transpose" not in call.operation else fresh()
    return Form((form.known(call.operation)[0], channels, *_unknown(count)))


_MAX = "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False"
_AVERAGE = "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None"


@rule("max_pool1d max_pool2d max_pool3d", _MAX, why=SAMPLES)
@rule("avg_pool1d avg_pool2d avg_pool3d", _AVERAGE, why=SAMPLES)
@rule("lp_pool1d lp_pool2d lp_pool3d", "input, norm_type, kernel_size, stride=None, ceil_mode=False", why=SAMPLES)
@rule("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d", "input, output_size", why=SAMPLES)
@rule(
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    "input, output_size, return_indices=False",
    why=SAMPLES,
)
def pooled(call: Call) -> Value:
    form, count = call.form(), _spatial(call)
    call.leading(form, count + 2)
    result = Form((*form.known(call.operation)[:2], *_unknown(count)))
    indices = call.values.get("return_indices", False)
    if not isinstance(indices, bool):
        mixed(call.operation, "is given a return_indices that is not known beforehand")
    return (result, Form(result.sizes, "integer")) if indices else result


@rule(
    "max_unpool1d max_unpool2d max_unpool3d",
    "input, indices, kernel_size=None, stride=None, padding=0, output_size=None",
    why=SAMPLES,
)
def unpooled(call: Call) -> Form:
    form, indices, count = call.form(), call.form("indices"), _spatial(call)
    call.leading(form, count + 2)
    call.leading(indices, count + 2)
    if not same(form.known(call.operation)[0], indices.known(call.operation)[0]):
        mixed(call.operation, "needs indices for each sample")
    return Form((*form.known(call.operation)[:2], *_unknown(count)))


@rule("interpolate upsample", "input, size=None, scale_factor=None, **named", why=SAMPLES)
@rule("upsample_nearest upsample_bilinear", "input, size=None, scale_factor=None", why=SAMPLES)
def resized(call: Call) -> Form:
    call.without_rows("size", "scale_factor")
    form = call.form()
    call.leading(form, (3, 4, 5))
    return Form((*form.known(call.operation)[:2], *_unknown(rank_of(form) - 2)))


@rule("pixel_shuffle", "input, upscale_factor", why=LAST)
@rule("pixel_unshuffle", "input, downscale_factor", why=LAST)
def shuffled(call: Call) -> Form:
    form = call.form()
    if rank_of(form) < 3:
        mixed(call.operation, "works on the last three dimensions")
    call.apart(form, *range(rank_of(form) - 3, rank_of(form)))
    return Form((*form.known(call.operation)[:-3], *_unknown(3)))


@rule("channel_shuffle", "input, groups", why=SAMPLES)
def channels_shuffled(call: Call) -> Form:
    call.leading(call.form(), range(3, 64))
    return Form(call.sizes())


@rule("F.unfold", "input, kernel_size, dilation=1, padding=0, stride=1", why=SAMPLES)
def columns(call: Call) -> Form:
    call.leading(call.form(), 4)
    return Form((call.sizes()[0], *_unknown(2)))


@rule("fold", "input, output_size, kernel_size, dilation=1, padding=0, stride=1", why=SAMPLES)
def images(call: Call) -> Form:
    call.leading(call.form(), 3)
    return Form((call.sizes()[0], *_unknown(3)))


@rule("pad", "input, pad, mode='constant', value=None", why=LAST)
def padded(call: Call) -> Form:
    form = call.form()
    amounts = listed(call.operation, call["pad"])
    count = len(amounts) // 2
    if len(amounts) % 2 or count > rank_of(form):
        mixed(call.operation, "is given two amounts for each of the last dimensions")
    call.apart(form, *range(rank_of(form) - count, rank_of(form)))
    return Form((*form.known(call.operation)[: rank_of(form) - count], *_unknown(count)))


@rule("grid_sample", "input, grid, mode='bilinear', padding_mode='zeros', align_corners=None", why=SAMPLES)
def sampled(call: Call) -> Form:
    form, grid = call.form(), call.form("grid")
    call.leading(form, (4, 5))
    call.leading(grid, rank_of(form))
    sizes = form.known(call.operation)
    if not same(grid.known(call.operation)[0], sizes[0]):
        mixed(call.operation, "needs a grid for each sample")
    return Form((*sizes[:2], *grid.known(call.operation)[1:-1]))


@rule("affine_grid", "theta, size, align_corners=None", why=SAMPLES, counts=True)
def grid(call: Call) -> Form:
    call.leading(call.form("theta"), 3)
    sizes = whole_sizes(call.operation, listed(call.operation, call["size"]))
    if not sizes or not same(sizes[0], call.sizes("theta")[0]) or any(map(counts_rows, sizes[1:])):
        mixed(call.operation, "needs a size that begins with the number of rows")
    return Form((sizes[0], *sizes[2:], len(sizes) - 2))


# --- norms ---


@rule(
    "batch_norm",
    "input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5",
    why="the statistics are kept ones, not those of the batch",
)
def batch_normalised(call: Call) -> Form:
    call.without_rows("running_mean", "running_var", "weight", "bias")
    if call["training"] is not False or call["running_mean"] is None or call["running_var"] is None:
        mixed(call.operation, "takes its statistics from all rows unless training=False")
    call.leading(call.form(), range(2, 64))
    return Form(call.sizes())


@rule(
    "instance_norm",
    "input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5",
    why=SAMPLES,
)
@rule("local_response_norm", "input, size, alpha=1e-4, beta=0.75, k=1.0", why=SAMPLES)
def normalised(call: Call) -> Form:
    call.without_rows(*(name for name in call.values if name != "input"))
    call.leading(call.form(), range(3, 64))
    return Form(call.sizes())


@rule("group_norm", "input, num_groups, weight=None, bias=None, eps=1e-5, *, num_channels=None", why=SAMPLES)
def groups_normalised(call: Call) -> Form:
    call.without_rows("weight", "bias")
    call.leading(call.form(), range(2, 64))
    channels = call.sizes()[1] if call["num_channels"] is None else call["num_channels"]
    groups = call["num_groups"]
    if not isinstance(channels, int) or not isinstance(groups, int) or channels <= groups:
        mixed(
            call.operation, "is followed for groups of several channels: PyTorch refuses one value alone, not several"
        )
    return Form(call.sizes())


@rule("layer.instance_norm", "input, rank", why=SAMPLES)
def instances_normalised(call: Call) -> Form:
    rank = call["rank"]
    assert isinstance(rank, int)
    call.leading(call.form(), rank)  # with one dimension less, the first one holds channels
    return Form(call.sizes())


@rule("layer_norm", "input, normalized_shape, weight=None, bias=None, eps=1e-5", why=LAST)
@rule("rms_norm", "input, normalized_shape, weight=None, eps=None", why=LAST)
def layer_normalised(call: Call) -> Form:
    call.without_rows(*(name for name in call.values if name != "input"))
    form = call.form()
    count = len(listed(call.operation, call["normalized_shape"]))
    call.apart(form, *range(max(0, rank_of(form) - count), rank_of(form)))
    return Form(form.sizes)


# --- look-ups ---


@rule(
    "embedding",
    "input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False",
    why="each index is looked up by itself",
)
def embedded(call: Call) -> Form:
    call.without_rows("weight")
    if call["max_norm"] is not None:
        mixed(call.operation, "changes its table while it looks up (max_norm)")
    return Form((*call.sizes(), call.sizes("weight")[-1]))


@rule(
    "embedding_bag",
    "input, weight, offsets=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, mode='mean', sparse=False,"
    " per_sample_weights=None, include_last_offset=False, padding_idx=None",
    why="each bag is looked up by itself",
)
def bagged(call: Call) -> Form:
    call.without_rows("weight")
    if call["offsets"] is not None or call["max_norm"] is not None:
        mixed(call.operation, "keeps bags apart of an input with 2 dimensions, without offsets and max_norm")
    form = call.form()
    call.leading(form, 2)
    if call["per_sample_weights"] is not None:
        call.leading(call.form("per_sample_weights"), 2)
    return Form((form.known(call.operation)[0], call.sizes("weight")[-1]))
