"""Scalar functions as OpenCL C fragments, shared by fused epilogues and element-wise maps.

Written as comparisons, never as max() or fmax(): those turn NaN into a number on some devices.
"""

from __future__ import annotations

Activation = tuple[str, *tuple[float, ...]]

CURVES = {
    "hardswish": "((v) <= (vec)(-3.0f) ? (v) * 0.0f : (v) >= (vec)(3.0f) ? (v) : (v) * ((v) + 3.0f) * 0.16666667f)",
    "silu": "((v) / (1.0f + exp(-(v))))",
}


def activation_macro(activation: Activation | None) -> dict[str, str]:
    """The header constant ACTIVATE(v) of a fused activation, for `float` and for vectors alike (`vec` is the type of v)."""
    if activation is None:
        return {"ACTIVATE(v)": "(v)"}
    name, *numbers = activation
    if name in CURVES:
        return {"ACTIVATE(v)": CURVES[name]}
    if name == "clip":
        return {"ACTIVATE(v)": _clipped(float_literal(numbers[0]), numbers[1])}
    below = {"relu": "(vec)(0.0f)", "leaky_relu": f"(v) * {float_literal(numbers[0])}"}[name]
    return {"ACTIVATE(v)": f"((v) < (vec)(0.0f) ? {below} : (v))"}


def bounded_activation(activation: Activation | None) -> tuple[dict[str, str], float]:
    """ACTIVATE(v) for kernels that know the bound `low`, below which it takes hold, only when they run; and that bound.

    None and "relu" then are one kernel with the bounds -infinity and 0.
    """
    if activation is None:
        return {"ACTIVATE(v)": BOUNDED}, float("-inf")
    name, *numbers = activation
    if name in CURVES:
        return {"ACTIVATE(v)": CURVES[name]}, 0.0
    if name == "clip":
        return {"ACTIVATE(v)": _clipped("low", numbers[1])}, numbers[0]
    below = {"relu": BOUNDED, "leaky_relu": f"((v) < (vec)(low) ? (v) * {float_literal(numbers[0])} : (v))"}[name]
    return {"ACTIVATE(v)": below}, 0.0


BOUNDED = "((v) < (vec)(low) ? (vec)(low) : (v))"


def _clipped(least: str, most: float) -> str:
    high = float_literal(most)
    return f"((v) < (vec)({least}) ? (vec)({least}) : (v) > (vec)({high}) ? (vec)({high}) : (v))"


def float_literal(value: float) -> str:
    """`value` as a float constant of OpenCL C, infinities and NaN included."""
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    return f"{value!r}f" if "." in repr(value) or "e" in repr(value) else f"{value!r}.0f"
