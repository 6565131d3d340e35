"""What a compiled graph takes on a device, added up before any of it is allocated."""

from __future__ import annotations

import math

from clconv.graph.assembly import Assembly
from clconv.graph.schedule import Step
from clconv.tensor import DTYPES


def device_bytes(assembly: Assembly) -> dict[str, int]:
    """Bytes by what they are for; parameters count as they are until packed, when all of them may be there at once."""
    graph = assembly.graph
    return {
        "inputs and outputs": sum(spec.elements * DTYPES[spec.dtype] for spec in (node.spec for node in (*graph.inputs, *graph.outputs))),
        "intermediate results": assembly.memory.total,
        "prepared weights": assembly.prepared_memory.total + sum(recalled.nbytes for recalled in assembly.recalled),
        "parameters": sum(4 * math.prod(parameter.shape) for parameter in assembly.parameters),
        "constants": sum(constant.nbytes for constant in assembly.constants),
    }


def over_budget(assembly: Assembly, asked: int | None, there: int, taken: int = 0) -> str | None:
    """Why the graph must not be allocated, or None. `asked` is what it may take, None for what is `there`; other stages have `taken`."""
    parts = device_bytes(assembly) | {"earlier stages": taken}
    total, most = sum(parts.values()), min(there, there if asked is None else asked)
    if total <= most:
        return None
    largest = max(assembly.steps, key=_operand_bytes, default=None)
    where = f"{largest.label}: " if largest is not None and largest.label else ""
    size = f", and this step alone for {_operand_bytes(largest)}" if largest is not None else ""
    whose = "max_bytes allows" if asked is not None and asked <= there else "the device has"
    listed = ", ".join(f"{name} {nbytes}" for name, nbytes in parts.items() if nbytes)
    return (
        f"{where}the network asks for {total} bytes on the device ({listed}){size}; {whose} {most}: "
        "take a smaller batch or smaller images, or allow more"
    )


def _operand_bytes(step: Step) -> int:
    return sum(value.spec.nbytes for value in step.operands.values())
