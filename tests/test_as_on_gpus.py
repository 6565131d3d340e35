"""Every algorithm as GPUs would run it, on the device under test: groups of many work-items, local memory and barriers, sub-groups."""

from __future__ import annotations

import pytest

from clconv.algorithms import ALGORITHMS
from clconv.algorithms.base import Algorithm
from clconv.device import XE, DeviceTraits
from clconv.problem import Problem
from tests.cases import Prepared, all_cases, check, kind_of, prepare
from tests.test_algorithms import accepting, build, shared_params

GPUS = (DeviceTraits.gpu(), DeviceTraits.gpu(gpu_class=XE))
FOR_GPUS = [a for a in ALGORITHMS if any(a.why_not(p, GPUS[0]) is None for p in all_cases() if isinstance(p, a.takes) and not p.layouts)]
FOR_PROCESSORS = {
    "conv_winograd", "conv_blocked", "conv_blocked_unpacked", "conv_blocked_weights", "conv_depthwise", "conv_depthwise_rows",
    "conv_depthwise_weights", "pool_blocked", "pool_rows", "pool_whole", "lrn_blocked", "map_blocked", "reduce_blocked",
    "shuffle_blocked",
}  # fmt: skip
MOVES = {"reorder_blocked", "reorder_strided", "pack_weights", "winograd_weights"}
"""Asked for by layouts, and planned alike for all devices."""

WITH_SUB_GROUPS = {"conv_gemm_subgroups"}
"""What few drivers for processors have: tested in a file of its own where there are any."""


def test_all_algorithms_but_those_for_processors() -> None:
    assert {a.name for a in ALGORITHMS} == {a.name for a in FOR_GPUS} | FOR_PROCESSORS | MOVES | WITH_SUB_GROUPS


def planned(algorithm: Algorithm, problem: Problem, device: DeviceTraits) -> Prepared:
    return prepare(algorithm, problem, device, shared_params(algorithm, problem, device))


def plans(algorithm: Algorithm) -> list[Prepared]:
    """The shared cases as planned for each GPU, without what is planned alike for the device under test or another GPU."""
    out = []
    for problem in all_cases():
        if not isinstance(problem, algorithm.takes):
            continue
        first = accepting(algorithm, problem)
        seen = [planned(algorithm, problem, first).plan] if first is not None and first.is_cpu else []
        for gpu in GPUS:
            if algorithm.why_not(problem, gpu) is None:
                prepared = planned(algorithm, problem, gpu)
                if prepared.plan not in seen:
                    seen.append(prepared.plan)
                    out.append(prepared)
    return out


@pytest.mark.kernels
@pytest.mark.exhaustive
@pytest.mark.parametrize("algorithm", FOR_GPUS, ids=lambda a: a.name)
def test_every_entry_as_on_gpus(algorithm: Algorithm) -> None:
    """Bit for bit on whole numbers, in every pass."""
    prepared = plans(algorithm)
    kinds = {kind_of(p) for p in all_cases() if isinstance(p, algorithm.takes) and algorithm.why_not(p, GPUS[0]) is None}
    assert kinds and {kind_of(each.problem) for each in prepared} == kinds
    build(prepared)
    for each in prepared:
        check(each)
