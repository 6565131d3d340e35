"""conv_blocked with plain weights: each work-item packs its own, chunk by chunk, for convolutions whose weights are used once.

To pack weights in a kernel of their own reads them, writes them and reads them again. Where all positions of a map are computed with a
chunk of weights before the next one (see conv_blocked), the chunk can as well be brought into order in the first-level cache. Measured
on Sapphire Rapids, two cores, a 3 x 3 convolution of 512 channels on 7 x 7 maps, in one launch with its reorders: 1.4 ms instead of 1.9.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from clconv.algorithms.blocked_calls import check_maps, needed_halo, plane_calls
from clconv.algorithms.conv_blocked import (
    FEW_CHANNELS,
    PARTIAL_SUMS,
    ConvBlocked,
    ConvBlockedParams,
    in_chunks,
    kernel_call,
    reads_plain,
    share_blocks,
)
from clconv.algorithms.register_tiles import inner_loop
from clconv.codegen.plan import Plan
from clconv.device import DeviceTraits
from clconv.errors import UnsupportedError
from clconv.problem import ConvProblem, Pass
from clconv.tensor import PLAIN, Layout

MOST_PACKED = 1 << 16
"""Bytes of a work-item's chunk of weights: larger ones are no longer close by, and not every driver has that much private memory."""


def packed_bytes(problem: ConvProblem, traits: DeviceTraits, params: ConvBlockedParams) -> int:
    """What a work-item packs at a time."""
    return 4 * params.chunk * params.tile_k * traits.block**2 * math.prod(problem.geometry.kernel)


class ConvBlockedUnpacked(ConvBlocked):
    """Direct convolution in register tiles on small maps; wants blocked tensors with halo and plain weights (K, C / groups, *kernel)."""

    name = "conv_blocked_unpacked"

    def why_not(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if (why := self.why_not_forced(problem, traits)) is not None:
            return why
        return None if in_chunks(problem, traits) else "leaves compute units idle: a work-item has two blocks of filters and a whole map"

    def why_not_forced(self, problem: ConvProblem, traits: DeviceTraits) -> str | None:
        if problem.direction is not Pass.FORWARD:
            return f"computes the forward pass, got {problem.direction.value}"
        if (why := super().why_not(problem, traits)) is not None:
            return why
        if reads_plain(problem):
            return f"needs more than {FEW_CHANNELS} channels, got {problem.channels}: so few are read unblocked"
        if share_blocks(problem, traits):
            return f"needs groups that share no block of {traits.block} channels, got {problem.geometry.groups} groups that do"
        if not in_chunks(problem, traits, fewest=0):
            size = " x ".join(map(str, problem.output_size))
            return f"keeps the sums of a whole map waiting for the next weights, {PARTIAL_SUMS} at most, got maps of {size}"
        (params,) = self.space(problem, traits)
        if (needed := packed_bytes(problem, traits, params)) > MOST_PACKED:
            return f"keeps a chunk of packed weights at hand, {MOST_PACKED} bytes at most, got {needed}"
        return None

    def space(self, problem: ConvProblem, traits: DeviceTraits) -> Iterator[ConvBlockedParams]:
        yield from in_chunks(problem, traits, fewest=0)

    def wants(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        return {**super().wants(problem, traits, params), "w": PLAIN}

    def plan(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> Plan:
        assert isinstance(params, ConvBlockedParams)
        for name in problem.tensors():
            problem.spec(name).check_addressable(str(problem))
        check_maps(problem, traits, (traits.block,), needed_halo(problem))
        if problem.layout("w") != PLAIN:
            raise UnsupportedError(f"{problem}: w must be plain, got {problem.layout('w')}; conv_blocked takes packed weights")
        ((rows, columns),) = plane_calls(problem)
        if packed_bytes(problem, traits, params) <= MOST_PACKED:
            for width in range(params.tile_w, 0, -1):  # the last tiles of rows fill up what may wait: narrower ones fill up less
                call = kernel_call(problem, traits, replace(params, tile_w=width), rows, columns, halo=True)
                if "CHUNK" in dict(call.source.constants):
                    return Plan((call,))
        raise UnsupportedError(f"{problem}: {params} keeps too much at hand; take a chunk, and a smaller one, or smaller tiles")

    def seconds(self, problem: ConvProblem, traits: DeviceTraits, params: object) -> float:
        packing = problem.batch * problem.spec("w").nbytes / inner_loop(traits.vector_registers).packed_per_second
        return super().seconds(problem, traits, params) + packing
