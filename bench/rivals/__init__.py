"""Other libraries on the same jobs: each a module of its own that is imported when it is asked for, and never required.

A rival gets the same threads as the device has compute units, its own best settings, and plain channels-first arrays in and out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clconv.errors import UnsupportedError
from clconv.graph.network import Network
from clconv.problem import ConvProblem, PoolProblem

RIVALS = ("torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Opponent:
    """A rival made ready for one job: `run` does it once, `results` gives what the latest run made. `settings` says how it was set up."""

    name: str
    version: str
    settings: str
    run: Callable[[], object]
    results: Callable[[], Sequence[np.ndarray]]


@dataclass(frozen=True)
class InferenceJob:
    """A network and its input by name. `model` holds it as an ONNX file, where there is one (else it is made of the network)."""

    network: Network
    inputs: Mapping[str, np.ndarray]
    model: bytes | None = None

    def onnx_model(self) -> bytes:
        """The network as an ONNX file, for rivals that read those."""
        if self.model is not None:
            return self.model
        from clconv.bench.onnx_files import saved

        return saved(self.network, {name: value.shape for name, value in self.inputs.items()})


@dataclass(frozen=True)
class TrainingJob:
    """Training steps of a network on one batch: cross entropy against class numbers, gradient descent with momentum."""

    network: Network
    images: np.ndarray
    labels: np.ndarray
    learning_rate: float = 0.01
    momentum: float = 0.9
    head_weight: float = 0.3


@dataclass(frozen=True)
class ProblemJob:
    """One convolution or pooling with its operands by name."""

    problem: ConvProblem | PoolProblem
    operands: Mapping[str, np.ndarray]


def parse_names(text: str | None) -> tuple[str, ...]:
    """The rivals that "torch,openvino" names.

    >>> parse_names("torch, openvino")
    ('torch', 'openvino')
    """
    names = tuple(part for entry in (text or "").split(",") if (part := entry.strip()))
    for name in names:
        if name not in RIVALS:
            raise UnsupportedError(f"--against {text}: {name!r} is not a rival; rivals are {', '.join(RIVALS)}")
    return tuple(dict.fromkeys(names))


def module_of(name: str) -> Any:
    """The rival's module, with its library imported; UnsupportedError where that is not installed."""
    try:
        return importlib.import_module(f"clconv.bench.rivals.{name}_rival")
    except ImportError as error:
        raise UnsupportedError(f"--against {name}: {error}; `pip install 'clconv[peers]'` installs the rivals") from error


def opponent(name: str, job: InferenceJob | TrainingJob | ProblemJob, threads: int) -> Opponent:
    """The rival `name` made ready for `job` on `threads` threads.

    Raises UnsupportedError with the reason where it is not installed or cannot do the job.
    """
    module = module_of(name)
    kind = {InferenceJob: "inference", TrainingJob: "training", ProblemJob: "problem"}[type(job)]
    if not hasattr(module, kind):
        raise UnsupportedError(f"--against {name}: does no {kind}; only torch does")
    made: Opponent = getattr(module, kind)(job, threads)
    return made
