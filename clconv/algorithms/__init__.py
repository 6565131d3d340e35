"""The algorithms: one file each, beside its template of the same name in `kernels/`. ALGORITHMS is the one ordered list.

A problem is taken by the first entries that accept it as `select` ranks them; one that accepts everything stands last in its family.
"""

from __future__ import annotations

from clconv.algorithms.base import Algorithm
from clconv.algorithms.conv_blocked import ConvBlocked
from clconv.algorithms.conv_blocked_unpacked import ConvBlockedUnpacked
from clconv.algorithms.conv_blocked_weights import ConvBlockedWeights
from clconv.algorithms.conv_depthwise import ConvDepthwise
from clconv.algorithms.conv_depthwise_rows import ConvDepthwiseRows
from clconv.algorithms.conv_depthwise_strips import ConvDepthwiseStrips
from clconv.algorithms.conv_depthwise_weights import ConvDepthwiseWeights
from clconv.algorithms.conv_direct import ConvDirect
from clconv.algorithms.conv_gemm import ConvGemm
from clconv.algorithms.conv_gemm_subgroups import ConvGemmSubgroups
from clconv.algorithms.conv_winograd import ConvWinograd
from clconv.algorithms.conv_winograd_gemm import ConvWinogradGemm
from clconv.algorithms.lrn_blocked import LrnBlocked
from clconv.algorithms.lrn_direct import LrnDirect
from clconv.algorithms.map_blocked import MapBlocked
from clconv.algorithms.map_strided import MapStrided
from clconv.algorithms.matmul_gemm import MatmulGemm
from clconv.algorithms.matmul_tiled import MatmulTiled
from clconv.algorithms.matmul_vector import MatmulVector
from clconv.algorithms.pack_weights import PackWeights
from clconv.algorithms.pool_blocked import PoolBlocked
from clconv.algorithms.pool_direct import PoolDirect
from clconv.algorithms.pool_rows import PoolRows
from clconv.algorithms.pool_strips import PoolStrips
from clconv.algorithms.pool_whole import PoolWhole
from clconv.algorithms.reduce_blocked import ReduceBlocked
from clconv.algorithms.reduce_groups import ReduceGroups
from clconv.algorithms.reduce_strided import ReduceStrided
from clconv.algorithms.reorder_blocked import ReorderBlocked
from clconv.algorithms.reorder_strided import ReorderStrided
from clconv.algorithms.resample_axis import ResampleAxis
from clconv.algorithms.shuffle_blocked import ShuffleBlocked
from clconv.algorithms.shuffle_strided import ShuffleStrided
from clconv.algorithms.softmax_groups import SoftmaxGroups
from clconv.algorithms.softmax_rows import SoftmaxRows
from clconv.algorithms.unpool_planes import UnpoolPlanes
from clconv.algorithms.window_copy import WindowCopy
from clconv.algorithms.winograd_weights import WinogradWeights
from clconv.device import DeviceTraits
from clconv.problem import Problem

ALGORITHMS: tuple[Algorithm, ...] = (
    ConvWinograd(),
    ConvBlocked(),
    ConvBlockedUnpacked(),
    ConvBlockedWeights(),
    ConvDepthwise(),
    ConvDepthwiseRows(),
    ConvDepthwiseWeights(),
    ConvDepthwiseStrips(),
    ConvWinogradGemm(),
    ConvGemm(),
    ConvGemmSubgroups(),
    ConvDirect(),
    PoolBlocked(),
    PoolWhole(),
    PoolRows(),
    PoolStrips(),
    PoolDirect(),
    LrnBlocked(),
    LrnDirect(),
    MapBlocked(),
    MapStrided(),
    ReduceBlocked(),
    ReduceGroups(),
    ReduceStrided(),
    MatmulVector(),
    MatmulGemm(),
    MatmulTiled(),
    SoftmaxGroups(),
    SoftmaxRows(),
    ReorderBlocked(),
    ReorderStrided(),
    ShuffleBlocked(),
    ShuffleStrided(),
    PackWeights(),
    WinogradWeights(),
    WindowCopy(),
    ResampleAxis(),
    UnpoolPlanes(),
)


def for_problem(problem: Problem) -> tuple[Algorithm, ...]:
    """All algorithms written for this kind of problem, applicable or not, in list order."""
    return tuple(a for a in ALGORITHMS if isinstance(problem, a.takes))


def applicable(problem: Problem, traits: DeviceTraits) -> tuple[Algorithm, ...]:
    """The algorithms that accept the problem on the device, in list order."""
    return tuple(a for a in for_problem(problem) if a.why_not(problem, traits) is None)
