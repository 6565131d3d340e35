"""What every algorithm answers. An algorithm is a stateless object; its kernels stand in the template of the same name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from clconv.codegen.plan import KernelCall, Plan
from clconv.device import DeviceTraits
from clconv.problem import Problem
from clconv.tensor import Layout

Q = TypeVar("Q", bound=Problem)


class Params(Protocol):
    """Parameters of an algorithm: a frozen dataclass of its own, printable as `tile_w=6, tile_k=2`."""


class Algorithm(Generic[Q]):
    """The questions that selection, tuning, tests and benchmarks ask.

    `takes` is the problem class it is written for; `takes_strided` whether its inputs may be views as they are.
    """

    name: str
    takes: type[Q]
    takes_strided = False

    def why_not(self, problem: Q, traits: DeviceTraits) -> str | None:
        """None if applicable, else one sentence: "needs stride 1, got (2, 2)". Looks at the request, not at its layouts."""
        raise NotImplementedError

    def why_not_forced(self, problem: Q, traits: DeviceTraits) -> str | None:
        """As `why_not`, for a caller who asks for the algorithm by name: only what it cannot do, not what it is not meant for."""
        return self.why_not(problem, traits)

    def why_not_params(self, problem: Q, traits: DeviceTraits, params: object) -> str | None:
        """None if the device has room for these parameters, else one sentence: they may have been tuned on a larger one."""
        return None

    def space(self, problem: Q, traits: DeviceTraits) -> Iterator[object]:
        """Parameters worth timing, the defaults among them."""
        yield self.defaults(problem, traits)

    def defaults(self, problem: Q, traits: DeviceTraits) -> object:
        """Parameters chosen without timing; constant time, always valid."""
        raise NotImplementedError

    def wants(self, problem: Q, traits: DeviceTraits, params: object) -> Mapping[str, Layout]:
        """The least layout for each operand that is not plain. A caller may give larger halos and channel slices, never less."""
        return {}

    def plan(self, problem: Q, traits: DeviceTraits, params: object) -> Plan:
        """What to launch for `problem` with the layouts it names; a pure function."""
        raise NotImplementedError

    def stand_ins(self, call: KernelCall) -> Iterator[Plan]:
        """The same launch, as plans of one call with the scratch it adds, by kernels that can do more than it needs: what is built already
        may serve."""
        return iter(())

    def error_factor(self, problem: Q, params: object) -> float | None:
        """How far rounding may take the results of sums from the exact ones.

        None: these are straight sums, exact on small whole numbers and within 2 sqrt(K) 2^-24 sum|x w| of each element otherwise (K terms).
        Else the error of every element is at most so many times 2 sqrt(K) 2^-24 times the largest sum|x w| of all elements: the
        algorithm mixes neighbours, and whole numbers are rounded too. `strict=True` leaves such algorithms out.
        """
        return None

    def seconds(self, problem: Q, traits: DeviceTraits, params: object) -> float:
        """A rough estimate that ranks algorithms of one problem; never shown as a measurement."""
        return max(problem.multiply_adds / (self.rate(problem, traits) * traits.compute_units), problem.bytes_moved / 10e9) + 5e-6

    def rate(self, problem: Q, traits: DeviceTraits) -> float:
        """Multiply-adds per second and compute unit that the estimate assumes."""
        return 1e9
