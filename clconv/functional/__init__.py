"""The operations by the names, order and semantics of torch.nn.functional.

Every function takes pyopencl arrays (and runs on their queue, giving an array) or graph nodes (and gives a node). Extensions are
keyword-only: `out=` (an array or view to write into), `algorithm=` (force one of the algorithms that `clconv explain` lists),
`strict=True` (no algorithm that rounds more than a straight sum), `activation=`, `residual=`, `flip_kernel=`. Kernels are built when an
operation first meets a configuration; another size builds nothing.
"""

from clconv.functional.activation import dropout, elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, tanh
from clconv.functional.arithmetic import add, cast, div, matmul, mean, mul, sub, sum
from clconv.functional.convolution import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from clconv.functional.convolution_gradients import (
    conv1d_input,
    conv1d_weight,
    conv2d_input,
    conv2d_weight,
    conv3d_input,
    conv3d_weight,
)
from clconv.functional.linear import linear
from clconv.functional.loss import cross_entropy, mse_loss
from clconv.functional.normalisation import batch_norm, local_response_norm
from clconv.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    global_avg_pool,
    global_max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from clconv.functional.shape import cat, flatten, pad, reshape, transpose

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "add",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "cast",
    "cat",
    "conv1d",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "conv3d",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "div",
    "dropout",
    "elu",
    "flatten",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "matmul",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mean",
    "mse_loss",
    "mul",
    "pad",
    "relu",
    "reshape",
    "sigmoid",
    "silu",
    "softmax",
    "sub",
    "sum",
    "tanh",
    "transpose",
]
