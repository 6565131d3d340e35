"""One optimiser step as one fused map a parameter; learning rate and step number are run-time scalars."""

from __future__ import annotations

from clconv.codegen.expressions import float_literal as lit
from clconv.graph.node import Node
from clconv.graph.ops.base import make
from clconv.graph.ops.elementwise import Body
from clconv.graph.ops.shape import item

LEARNING_RATE = ("learning_rate", "float")


def sgd_step(
    w: Node, gradient: Node, velocity: Node | None, momentum: float, weight_decay: float, nesterov: bool, dampening: float = 0.0
) -> tuple[Node, ...]:
    """torch.optim.SGD: (new w, new velocity); without momentum (new w,). Velocity starts at zero.

    With dampening, the gradient's share of the velocity is the run-time scalar "intake": 1 at the first step, then 1 - dampening.
    """
    decayed = ("t0", f"x1 + {lit(weight_decay)} * x0" if weight_decay else "x1")
    if velocity is None:
        body = Body((decayed, ("y0", "x0 - learning_rate * t0")), (LEARNING_RATE,))
        return (make("map", w, gradient, body=body, named="sgd"),)
    share = "intake * t0" if dampening else "t0"
    step = f"t0 + {lit(momentum)} * y1" if nesterov else "y1"
    body = Body(
        (decayed, ("y1", f"{lit(momentum)} * x2 + {share}"), ("y0", f"x0 - learning_rate * ({step})")),
        (LEARNING_RATE, ("intake", "float")) if dampening else (LEARNING_RATE,),
    )
    both = make("map", w, gradient, velocity, body=body, outputs=2, named="sgd")
    return item(both, 0), item(both, 1)


def adam_step(
    w: Node, gradient: Node, first: Node, second: Node, betas: tuple[float, float], eps: float, weight_decay: float, decoupled: bool
) -> tuple[Node, ...]:
    """Adam (Kingma and Ba 2015), or AdamW (Loshchilov and Hutter 2019) when `decoupled`: (new w, first and second moment).

    The bias corrections 1 - beta^step come as run-time scalars, computed on the host in double precision.
    """
    b1, b2 = betas
    decay = lit(weight_decay)
    w_now = f"x0 * (1.0f - learning_rate * {decay})" if decoupled and weight_decay else "x0"
    g_now = f"x1 + {decay} * x0" if weight_decay and not decoupled else "x1"
    body = Body(
        (
            ("t0", g_now),
            ("t1", w_now),
            ("y1", f"{lit(b1)} * x2 + {lit(1.0 - b1)} * t0"),
            ("y2", f"{lit(b2)} * x3 + {lit(1.0 - b2)} * t0 * t0"),
            ("y0", f"t1 - learning_rate / correction1 * y1 / (sqrt(y2) / sqrt(correction2) + {lit(eps)})"),
        ),
        (LEARNING_RATE, ("correction1", "float"), ("correction2", "float")),
    )
    all_three = make("map", w, gradient, first, second, body=body, outputs=3, named="adamw" if decoupled else "adam")
    return tuple(item(all_three, i) for i in range(3))
