"""What tuning found out about one problem on one device, and under which names it is filed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from clconv.device import DeviceTraits
from clconv.problem import ConvProblem, Epilogue, MatmulProblem, PoolProblem, Problem
from clconv.tensor import PLAIN, Blocked, Layout, Strided

TUNABLE = (ConvProblem, PoolProblem, MatmulProblem)
"""Problems worth timing, whose text form says all that matters."""

EPILOGUE_OPERANDS = ("bias", "residual")


def is_tunable(problem: Problem) -> bool:
    return isinstance(problem, TUNABLE)


def problem_key(problem: Problem) -> str:
    """The text form of `problem` without what leaves the choice of a kernel as it is: the epilogue, and that a transpose was asked for.

    The batch counts: what suits one image need not suit eight.

    >>> from clconv.problem import parse
    >>> problem_key(parse("n1c64i56x56k64f3x3p1+bias+relu"))
    'conv n1c64i56x56k64f3x3p1'
    """
    if isinstance(problem, ConvProblem):
        problem = replace(problem, epilogue=Epilogue(), transposed=False)
    elif isinstance(problem, MatmulProblem):
        problem = replace(problem, epilogue=Epilogue())
    return str(problem)


def storage_key(problem: Problem, stored: Mapping[str, Layout], prepared: frozenset[str] = frozenset()) -> str:
    """How the operands that each run reads are stored before any reorder, halos aside; those in `prepared` are reordered once.

    >>> from clconv.problem import parse
    >>> storage_key(parse("n1c64i56x56k64f3x3p1"), {"x": Blocked(8)}, frozenset({"w"}))
    'x blocked 8'
    """
    names = [name for name in problem.inputs if name not in prepared and name not in EPILOGUE_OPERANDS]
    return ", ".join(f"{name} {_storage(stored.get(name, problem.layout(name)))}" for name in names)


def _storage(layout: Layout) -> str:
    if isinstance(layout, Blocked):
        return f"blocked {layout.block}"
    return "plain" if layout == PLAIN else "strided" if isinstance(layout, Strided) else str(layout)


@dataclass(frozen=True)
class Entry:
    """The best candidate for a problem, as measured: `seconds` of its own, and `default_seconds` of `default`, the choice without tuning.

    `problem` and `stored` are what `problem_key` and `storage_key` gave; the device goes by its identity, family and kind. `params` are
    the fields of the algorithm's parameters. `default_seconds` is None where the untuned choice was rejected.
    """

    problem: str
    stored: str
    algorithm: str
    params: tuple[tuple[str, Any], ...]
    seconds: float
    default: str
    default_seconds: float | None
    device: str
    driver: str
    family: str
    kind: str

    def params_like(self, like: object) -> object:
        """The parameters as an object of the type of `like`. ValueError unless the fields are the same, with values of the same types."""
        given = dict(self.params)
        own = dict(params_row(like))
        if own.keys() != given.keys() or any(type(given[name]) is not type(value) for name, value in own.items()):
            raise ValueError(f"{self.algorithm} takes ({', '.join(own)}), the entry has ({', '.join(given)}) or values of other types")
        try:
            return like if like is None else type(like)(**given)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def suits(self, traits: DeviceTraits) -> int | None:
        """How near the entry's device is: 0 the same with the same driver, 1 the same, 2 of its family, 3 of its kind; None: none of it."""
        if self.kind != traits.kind:
            return None
        if self.device == traits.identity:
            return 0 if self.driver == traits.driver else 1
        return 2 if self.family == traits.family else 3

    def as_row(self) -> dict[str, Any]:
        """What a database file holds of it."""
        return {**asdict(self), "params": dict(self.params)}

    @classmethod
    def of_row(cls, row: object) -> Entry | None:
        """The entry that a file's row describes; None for what no version has written."""
        if not isinstance(row, dict) or not isinstance(row.get("params"), dict):
            return None
        names = [field.name for field in fields(cls)]
        texts = [row.get(name) for name in names if name not in ("params", "seconds", "default_seconds")]
        if not all(isinstance(text, str) for text in texts) or not _is_time(row.get("seconds")):
            return None
        if row.get("default_seconds") is not None and not _is_time(row["default_seconds"]):
            return None
        params = tuple(sorted((name, tuple(value) if isinstance(value, list) else value) for name, value in row["params"].items()))
        return cls(**{name: row.get(name) for name in names} | {"params": params})


def identity_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a newer row replaces: the same problem, stored the same way, on the same device."""
    return tuple(str(row.get(name)) for name in ("problem", "stored", "device"))


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def params_row(params: object) -> tuple[tuple[str, Any], ...]:
    """The fields of an algorithm's parameters by name, as an Entry holds them."""
    return tuple(sorted(_fields(params)))


def params_text(params: object) -> str:
    """`tile_w=6, tile_k=2`."""
    return ", ".join(f"{name}={value}" for name, value in _fields(params))


def _fields(params: object) -> list[tuple[str, Any]]:
    return [] if params is None else [(field.name, getattr(params, field.name)) for field in fields(params)]  # type: ignore[arg-type]
