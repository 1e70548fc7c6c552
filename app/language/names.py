"""The allow-list of functions, by category: which of PyTorch's functions the language has.

Data only; `functions.py` makes the catalogue of it from PyTorch itself. Left out on purpose: whatever reads memory
that was never written (empty, as_strided, storage), touches files, devices, threads, global state or autograd,
runs code it is given, returns NumPy or Python objects, changes a tensor in place, or trusts indexes it does not
check (lu_solve, ldl_solve, segment_reduce).
"""

TORCH: dict[str, str] = {
    "elementwise": """
        abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin
        asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
        ceil clamp clamp_max clamp_min clip complex conj conj_physical copysign cos cosh deg2rad digamma div divide
        erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac frexp gcd heaviside
        hypot i0 igamma igammac imag lcm ldexp lerp lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and
        logical_not logical_or logical_xor logit maximum minimum mul multiply mvlgamma nan_to_num neg negative
        nextafter polar polygamma positive pow rad2deg real reciprocal relu remainder round rsqrt rsub sgn sigmoid
        sign signbit sin sinc sinh sqrt square sub subtract tan tanh true_divide trunc where xlogy masked_fill selu
        celu
    """,
    "reduction": """
        all amax amin aminmax any argmax argmin count_nonzero cummax cummin cumprod cumsum cumulative_trapezoid diff
        kthvalue logcumsumexp logsumexp max mean median min mode nanmean nanmedian nanquantile nansum norm
        nuclear_norm prod quantile std std_mean sum trapezoid trapz var var_mean histc histogram bincount corrcoef cov
        gradient renorm softmax log_softmax
    """,
    "comparison": """
        allclose eq equal ge greater greater_equal gt isclose isfinite isin isinf isnan isneginf isposinf isreal le
        less less_equal lt ne not_equal argsort msort sort topk searchsorted bucketize unique unique_consecutive
        is_complex is_floating_point is_nonzero is_same_size numel
    """,
    "linear algebra": """
        addbmm addmm addmv addr baddbmm bilinear bmm chain_matmul cholesky cholesky_inverse cholesky_solve cross cdist
        det dist dot einsum geqrf ger inner inverse kron logdet matmul matrix_exp matrix_power mm mv orgqr ormqr outer
        pinverse qr slogdet svd tensordot trace triangular_solve vander vdot pdist pairwise_distance cosine_similarity
    """,
    "shape": """
        adjoint argwhere atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors broadcast_to cartesian_prod cat
        channel_shuffle chunk clone column_stack combinations concat concatenate detach diag diag_embed diagflat
        diagonal diagonal_scatter dsplit dstack flatten flip fliplr flipud gather hsplit hstack index_add index_copy
        index_fill index_put index_reduce index_select masked_scatter masked_select meshgrid moveaxis movedim narrow
        nonzero permute pixel_shuffle pixel_unshuffle put ravel repeat_interleave reshape roll rot90 row_stack scatter
        scatter_add scatter_reduce select select_scatter slice_scatter split split_with_sizes squeeze stack swapaxes
        swapdims t take take_along_dim tensor_split tile transpose tril triu unbind unflatten unravel_index unsqueeze
        view_as_complex view_as_real vsplit vstack
    """,
    "signal": "istft stft",
    "creation": """
        arange as_tensor bartlett_window blackman_window eye full full_like hamming_window hann_window kaiser_window
        linspace logspace ones ones_like scalar_tensor tensor tril_indices triu_indices zeros zeros_like
    """,
    "random": """
        bernoulli binomial multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm
    """,
}

FUNCTIONAL: dict[str, str] = {
    "activation": """
        celu elu gelu glu gumbel_softmax hardshrink hardsigmoid hardswish hardtanh leaky_relu log_softmax logsigmoid
        mish normalize prelu relu relu6 rrelu selu sigmoid silu softmax softmin softplus softshrink softsign tanh
        tanhshrink threshold
    """,
    "loss": """
        binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss
        gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss linear_cross_entropy margin_ranking_loss
        mse_loss multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss poisson_nll_loss
        smooth_l1_loss soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss
    """,
    "convolution": """
        conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d fold unfold
    """,
    "pooling": """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
        adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d
        adaptive_max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d
        fractional_max_pool2d_with_indices fractional_max_pool3d fractional_max_pool3d_with_indices lp_pool1d
        lp_pool2d lp_pool3d max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
        max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d
    """,
    "normalization": "batch_norm group_norm instance_norm layer_norm local_response_norm rms_norm",
    "dropout": "alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout",
    "attention and linear": "bilinear linear multi_head_attention_forward scaled_dot_product_attention",
    "embedding": "embedding embedding_bag one_hot",
    "distance": "cosine_similarity pairwise_distance pdist",
    "vision": """
        affine_grid channel_shuffle grid_sample interpolate pad pixel_shuffle pixel_unshuffle upsample
        upsample_bilinear upsample_nearest
    """,
}

LINALG = """
    cholesky cond cross det diagonal eig eigh eigvals eigvalsh householder_product inv lstsq lu lu_factor matmul
    matrix_exp matrix_norm matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_triangular svd svdvals
    tensorinv tensorsolve vander vecdot vector_norm
"""
FFT = """
    fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn irfft irfft2 irfftn
    rfft rfft2 rfftfreq rfftn
"""
SPECIAL = """
    airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 digamma entr erf erfc erfcx erfinv exp2 expit expm1 gammainc
    gammaincc gammaln i0 i0e i1 i1e log1p log_ndtr log_softmax logit logsumexp modified_bessel_i0 modified_bessel_i1
    modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri polygamma psi round scaled_modified_bessel_k0
    scaled_modified_bessel_k1 sinc softmax spherical_bessel_j0 xlog1py xlogy zeta
"""

METHODS: dict[str, str] = {
    "method: dtype": """
        bfloat16 bool byte char double float half int long short to type_as
    """,
    "method: size": "dim element_size is_contiguous item ndimension nelement size stride",
    "method: shape": """
        contiguous expand expand_as repeat reshape_as sum_to_size unfold view view_as
    """,
    "method: creation": "new_full new_ones new_tensor new_zeros",
}
