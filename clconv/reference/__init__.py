"""The NumPy oracle: every operation and its gradient, written from the definitions, in float64.

Plain loops over kernel taps with einsum or matmul over the rest; nothing here is shared with the kernels except the size formulas of
`clconv.geometry`, so a mistake in one is not a mistake in the other. It is for tests and `bench --check`, not for speed.

Every function takes anything `numpy.asarray` takes, computes in float64 and returns float64 (indices are int32). Integer-valued inputs
therefore give exact results as long as partial sums stay below 2**53.

>>> from clconv import reference
>>> from clconv.geometry import ConvGeometry
>>> reference.conv([[[1, 2, 3, 4]]], [[[1, -1]]], None, ConvGeometry.make((2,)))
array([[[-1., -1., -1.]]])
"""

from clconv.reference.arrays import central_difference
from clconv.reference.convolution import conv, conv_backward_data, conv_backward_weights, conv_transpose, flip
from clconv.reference.losses import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    mse_loss,
    mse_loss_backward,
    softmax,
    softmax_backward,
)
from clconv.reference.normalisation import (
    batch_norm,
    batch_norm_backward,
    batch_norm_train,
    batch_norm_train_backward,
    group_norm,
    layer_norm,
    local_response_norm,
    local_response_norm_backward,
    rms_norm,
)
from clconv.reference.pointwise import (
    activated,
    celu,
    elu,
    elu_backward,
    erf,
    gelu,
    gelu_backward,
    hardsigmoid,
    hardswish,
    leaky_relu,
    leaky_relu_backward,
    linear,
    linear_backward,
    matmul,
    matmul_backward,
    prelu,
    relu,
    relu_backward,
    selu,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softsign,
    tanh,
    tanh_backward,
)
from clconv.reference.pooling import (
    adaptive_avg_pool,
    adaptive_avg_pool_backward,
    avg_pool,
    avg_pool_backward,
    max_pool,
    max_pool_backward,
)
from clconv.reference.resampling import adaptive_max_pool, instance_norm, interpolate, lp_pool, max_unpool
from clconv.reference.rng import dropout_mask, philox4x32

__all__ = [
    "activated",
    "adaptive_avg_pool",
    "adaptive_avg_pool_backward",
    "adaptive_max_pool",
    "avg_pool",
    "avg_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_train",
    "batch_norm_train_backward",
    "celu",
    "central_difference",
    "conv",
    "conv_backward_data",
    "conv_backward_weights",
    "conv_transpose",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout_mask",
    "elu",
    "elu_backward",
    "erf",
    "flip",
    "gelu",
    "gelu_backward",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "log_softmax",
    "log_softmax_backward",
    "lp_pool",
    "matmul",
    "matmul_backward",
    "max_pool",
    "max_pool_backward",
    "max_unpool",
    "mse_loss",
    "mse_loss_backward",
    "philox4x32",
    "prelu",
    "relu",
    "relu_backward",
    "rms_norm",
    "selu",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softsign",
    "tanh",
    "tanh_backward",
]
