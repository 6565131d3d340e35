"""clconv as a backend of ONNX's own interface, for its conformance tests and for programs written against `onnx.backend`.

>>> from clconv.onnx import backend                                          # doctest: +SKIP
>>> backend.prepare(onnx.load("model.onnx")).run([image])                    # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx.defs
import onnx.helper
from onnx import TensorProto, numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from clconv.errors import ClconvError, OnnxError
from clconv.graph.compile import compile_graph
from clconv.graph.node import Node, input_node
from clconv.graph.run import Run
from clconv.graph.trace import Graph, recording
from clconv.onnx.importing import load
from clconv.onnx.network import ON_DEVICE, OnnxNetwork
from clconv.runtime.context import default_queue, list_devices
from clconv.tensor import TensorSpec


class ClconvRep(BackendRep):
    """A model made ready. Inputs of float32 and float16 are computed with on the device; others are known when it runs, and fold."""

    def __init__(self, net: OnnxNetwork, queue: Any) -> None:
        self.net, self.queue = net, queue
        self._prepared: tuple[Any, Run | None, list[np.ndarray | None]] | None = None

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **options: Any) -> tuple[Any, ...]:
        """The outputs in order, by name too; `inputs` in order, or a mapping by name."""
        names = list(self.net.dimensions)
        given = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=True))
        arrays = {name: numpy_helper.to_array(v) if isinstance(v, TensorProto) else np.asarray(v) for name, v in given.items()}
        host = self.net.host_inputs()
        device = {name: array for name, array in arrays.items() if str(array.dtype) in ON_DEVICE and name not in host}
        known = {name: array for name, array in arrays.items() if name not in device}
        run, outputs = self._ready(device, known)
        computed = run(*device.values()) if run is not None else ()
        rest = iter(computed if isinstance(computed, tuple) else (computed,))
        results = [value if value is not None else next(rest).get() for value in outputs]
        typed = [self._typed(name, value) for name, value in zip(self.net.output_names, results, strict=True)]
        return tuple(namedtupledict("Outputs", list(self.net.output_names))(*typed))

    def _ready(self, device: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]) -> tuple[Run | None, list[np.ndarray | None]]:
        """What computes for inputs of these shapes and known values, and the outputs that are known with them; kept for the next time."""
        key = (
            tuple((name, array.shape, array.dtype.str) for name, array in device.items()),
            tuple((name, array.shape, array.dtype.str, array.tobytes()) for name, array in known.items()),
        )
        if self._prepared is None or self._prepared[0] != key:
            nodes = {name: input_node(name, TensorSpec(array.shape, str(array.dtype))) for name, array in device.items()}
            with recording():
                values = self.net.with_values(**known).values(*nodes.values())
            computed = tuple(value for value in values if isinstance(value, Node))
            run = compile_graph(Graph(tuple(nodes.values()), computed), self.queue) if computed else None
            self._prepared = key, run, [None if isinstance(value, Node) else value for value in values]
        return self._prepared[1:]

    def _typed(self, name: str, value: np.ndarray) -> np.ndarray:
        """In the element type that the model declares: truth values and positions are computed as numbers of other types."""
        declared = self.net.types.get(name)
        return value if declared in (None, "unknown", str(value.dtype)) else value.astype(declared)


class ClconvBackend(Backend):
    """The interface `onnx.backend.base.Backend`."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **options: Any) -> ClconvRep:
        """The model ready to run on the default OpenCL device; raises OnnxError for what is not supported."""
        super().prepare(model, device, **options)
        return ClconvRep(load(model), default_queue())

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **options: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **options: Any) -> tuple[Any, ...]:
        """One operation; the types of its outputs are those of `outputs_info`, or that of its first input."""
        arrays = [np.asarray(value) for value in inputs]
        names = [name for name in node.input if name]
        values = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        types = [np.dtype(info[0]) for info in outputs_info] if outputs_info else [arrays[0].dtype] * len(node.output)
        made = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(kind), None)
            for name, kind in zip(node.output, types, strict=True)
        ]
        graph = onnx.helper.make_graph([node], "one operation", values, made)
        version = options.pop("opset_version", onnx.defs.onnx_opset_version())
        return cls.run_model(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)]), arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether there is an OpenCL device; ONNX's names of devices ("CPU", "CUDA") do not say which."""
        try:
            return device.partition(":")[0] == "CPU" and bool(list_devices())
        except ClconvError:
            return False

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **options: Any) -> bool:
        """Whether every operator of the model is supported."""
        try:
            load(model)
        except OnnxError:
            return False
        return True


prepare, run_model, run_node = ClconvBackend.prepare, ClconvBackend.run_model, ClconvBackend.run_node
supports_device, is_compatible = ClconvBackend.supports_device, ClconvBackend.is_compatible
