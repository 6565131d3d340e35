"""Weights and training checkpoints as safetensors files.

Both kinds hold the weights under their own names, so that `load_weights` and other tools read either. A checkpoint also holds the
optimiser's state under "optimiser/velocity.conv1.weight" and the like, and what else there is as JSON in the file's metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clconv.errors import CheckpointError
from clconv.graph.network import Network
from clconv.graph.parameter import Parameter
from clconv.train.optimiser import Optimiser

Tensors = dict[str, NDArray[Any]]
PREFIX = "optimiser/"
KEY = "clconv"
VERSION = 1


def save_weights(net: Network, path: str | PathLike[str]) -> None:
    """Write every parameter, running statistics too, under its name. The file appears whole or not at all."""
    _write(path, net.state_dict(), {})


def load_weights(net: Network, path: str | PathLike[str], strict: bool = True) -> None:
    """Set the parameters of `net` from a file of weights or a checkpoint; float16 and float64 are converted.

    With strict=False names that only one side has are passed over. Raises CheckpointError, which names the parameter and both shapes, and
    changes nothing then.
    """
    tensors, _ = _read(path)
    _load(net, {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}, path, strict)


def save_checkpoint(path: str | PathLike[str], net: Network, optimiser: Optimiser, counters: Mapping[str, Any]) -> None:
    """Write weights, optimiser state and `counters` (anything JSON takes)."""
    tensors = net.state_dict() | {PREFIX + name: held.value for name, held in optimiser.state.items()}
    frozen = [name for name, parameter in net.named_parameters().items() if not parameter.trainable]
    extra = {"version": VERSION, "optimiser": type(optimiser).__name__, "lr": optimiser.lr, "frozen": frozen, "counters": dict(counters)}
    _write(path, tensors, {KEY: json.dumps(extra)})


def load_checkpoint(path: str | PathLike[str], net: Network, optimiser: Optimiser) -> dict[str, Any]:
    """Set weights, what is frozen, optimiser state and learning rate from a checkpoint, and return its counters.

    Raises CheckpointError, and changes nothing then, for another network, another kind of optimiser, or a file of weights alone.
    """
    tensors, metadata = _read(path)
    if KEY not in metadata:
        raise CheckpointError(f"{path}: holds weights but no state of a training; load_weights(net, path) takes those")
    extra = json.loads(metadata[KEY])
    if extra["version"] != VERSION:
        raise CheckpointError(f"{path}: written in format version {extra['version']}, this clconv reads version {VERSION}")
    if extra["optimiser"] != type(optimiser).__name__:
        raise CheckpointError(
            f"{path}: the training used {extra['optimiser']}, not {type(optimiser).__name__}; build the Trainer with {extra['optimiser']}"
        )
    state = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    _check_state(state, net, optimiser, path)
    _load(net, {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}, path, strict=True)
    for name, parameter in net.named_parameters().items():
        parameter.trainable = name not in extra["frozen"]
    _set_state(state, optimiser)
    optimiser.lr = extra["lr"]
    counters: dict[str, Any] = extra["counters"]
    return counters


def _check_state(state: Tensors, net: Network, optimiser: Optimiser, path: str | PathLike[str]) -> None:
    parameters = net.named_parameters()
    for key, value in state.items():
        slot, _, name = key.partition(".")
        if slot not in optimiser.slots:
            raise CheckpointError(
                f"{path}: holds {slot} of {name}, which {optimiser!r} does not keep; build the optimiser as it was in that training"
            )
        if name not in parameters or parameters[name].shape != value.shape:
            here = f"{parameters[name].shape} in the network" if name in parameters else "not in the network"
            raise CheckpointError(f"{path}: {slot} of {name} has shape {value.shape}, {name} is {here}; build the network as it was then")


def _set_state(state: Tensors, optimiser: Optimiser) -> None:
    """State that the file lacks had not been touched when it was written: zeros."""
    for key, held in optimiser.state.items():
        held.value = state.get(key, np.zeros(held.shape, np.float32))
    for key, value in state.items():
        if key not in optimiser.state:
            optimiser.state[key] = Parameter(value, trainable=False)
            optimiser.state[key].name = key


def _load(net: Network, tensors: Tensors, path: str | PathLike[str], strict: bool) -> None:
    try:
        net.load_state_dict(tensors, strict)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _write(path: str | PathLike[str], tensors: Tensors, metadata: dict[str, str]) -> None:
    from safetensors.numpy import save

    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: str | PathLike[str]) -> tuple[Tensors, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}); it was cut off, or is of another format") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
