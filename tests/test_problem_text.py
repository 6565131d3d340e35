"""The text form of problems: what is printed reads back to the same problem, and what cannot be read is refused with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clconv.errors import GeometryError
from clconv.geometry import ConvGeometry, PoolGeometry
from clconv.problem import ConvProblem, Epilogue, Pass, PoolProblem, parse
from clconv.tensor import Blocked

# Printing


@pytest.mark.parametrize(
    "text, printed",
    [
        ("n1c3i8x8k4f3x3", "conv n1c3i8x8k4f3x3"),
        ("conv n1c3i8x8k4f3x3s1p0d1g1o0:fwd", "conv n1c3i8x8k4f3x3"),
        ("  conv   n2c3i8k4f3s2  ", "conv n2c3i8k4f3s2"),
        ("c3i8x8k4f3x3", "conv n1c3i8x8k4f3x3"),
        ("n8c48i56x56k64f3x3s2p1,2x0,1d1g2:bwd_w:f16", "conv n8c48i56x56k64f3x3s2p1,2x0,1g2:bwd_w:f16"),
        ("n1c4i9x9x9k4f3s2x2x2p1d2", "conv n1c4i9x9x9k4f3x3x3s2p1d2"),
        ("n1c4i9x9k4f3x3p1x1+res+relu+bias", "conv n1c4i9x9k4f3x3p1+bias+relu+res"),
        ("n1c4i9x9k4f3x3+leaky_relu(0.1)", "conv n1c4i9x9k4f3x3+leaky_relu(0.1)"),
        ("n1c4i9x9k4f3x3p1,2", "conv n1c4i9x9k4f3x3p1,2"),
        ("deconv n1c8i5x5k4f4x4s2p1o1x0", "deconv n1c8i5x5k4f4x4s2p1o1x0"),
        ("deconv n1c8i5x5k4f4x4s2:bwd_d", "deconv n1c8i5x5k4f4x4s2:bwd_d"),
        ("maxpool n1c8i6x6f2x2s2x2:idx", "maxpool n1c8i6x6f2x2:idx"),
        ("maxpool n1c8i6x6f2x2s1:ceil:bwd_d", "maxpool n1c8i6x6f2x2s1:bwd_d:ceil"),
        ("avgpool n1c8i6f3p1:nopad:div4:f16", "avgpool n1c8i6f3p1:nopad:div4:f16"),
    ],
)
def test_printed_form(text: str, printed: str) -> None:
    assert str(parse(text)) == printed
    assert parse(printed) == parse(text)


def test_letters_mean_what_the_field_means() -> None:
    problem = parse("conv n8c48i56x40k64f3x5s2x1p1,2x0,1d1x2g2:bwd_w:f16")
    assert problem == ConvProblem(
        ConvGeometry((3, 5), (2, 1), ((1, 2), (0, 1)), (1, 2), 2, (0, 0)), 8, 48, 64, (56, 40), Pass.BACKWARD_WEIGHTS, "float16"
    )
    assert problem.w_shape == (64, 24, 3, 5)


def test_a_deconvolution_is_the_backward_data_pass_of_its_convolution() -> None:
    problem = parse("deconv n2c8i5x6k4f3x3s2p1o1+bias")
    assert isinstance(problem, ConvProblem)
    assert (problem.direction, problem.filters, problem.channels) == (Pass.BACKWARD_DATA, 8, 4)
    assert problem.tensors()["dy"].shape == (2, 8, 5, 6), "its own input"
    assert problem.tensors()["dx"].shape == (2, 4, 10, 12), "its own output"
    assert problem.tensors()["bias"].shape == (4,)
    backward = parse("deconv n2c8i5x6k4f3x3s2p1o1:bwd_d")
    assert isinstance(backward, ConvProblem) and backward.direction is Pass.FORWARD
    weights = parse("deconv n2c8i5x6k4f3x3s2p1o1:bwd_w")
    assert isinstance(weights, ConvProblem) and weights.direction is Pass.BACKWARD_WEIGHTS


def test_layouts_are_no_part_of_the_text() -> None:
    problem = parse("n1c8i6x6k8f3x3")
    assert str(problem.with_layouts(x=Blocked(8))) == str(problem)


def test_adaptive_pooling_prints_its_output_size() -> None:
    assert str(PoolProblem("adaptive_avg", None, 2, 8, (7, 9), (3, 4), dtype="float16")) == "adaptive_avgpool n2c8i7x9 to 3x4:f16"


# Round trips


def entries(low: int, high: int, rank: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.integers(low, high),) * rank)


FIXED = [("relu", 0.0), ("clip", 0.0, 6.0), ("clip", float("-inf"), 0.5), ("hardswish",), ("silu",)]


@st.composite
def conv_problems(draw: st.DrawFn) -> ConvProblem:
    rank = draw(st.integers(1, 3))
    kernel, stride, dilation = (draw(entries(1, 4, rank)) for _ in range(3))
    pads = draw(st.tuples(*(entries(0, 3, 2),) * rank))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    groups = draw(st.integers(1, 4))
    geometry = ConvGeometry.make(kernel, stride, pads, dilation, groups, extra)
    batch = draw(st.integers(0, 300))
    channels, filters = (groups * draw(st.integers(1, 40)) for _ in range(2))
    dtype = draw(st.sampled_from(["float32", "float16"]))
    slope = st.floats(0, 1e15).map(lambda value: ("leaky_relu", value))
    epilogue = Epilogue(draw(st.booleans()), draw(st.booleans()), draw(st.none() | st.sampled_from(FIXED) | slope))
    direction = draw(st.sampled_from(Pass))
    reach = [max(1, m - a - b + e) for m, (a, b), e in zip(geometry.effective_kernel, pads, extra, strict=True)]
    size = tuple(least + draw(st.integers(0, 20)) for least in reach)
    transposed = draw(st.booleans())
    if transposed:
        size = geometry.transposed_output_size(tuple(n + 12 for n in size))
    return ConvProblem(geometry, batch, channels, filters, size, direction, dtype, epilogue, transposed)


@given(conv_problems())
def test_convolutions_round_trip(problem: ConvProblem) -> None:
    assert parse(str(problem)) == problem
    assert str(parse(str(problem))) == str(problem)


@st.composite
def pool_problems(draw: st.DrawFn) -> PoolProblem:
    rank = draw(st.integers(1, 3))
    kernel, stride, dilation = (draw(entries(1, 4, rank)) for _ in range(3))
    reach = [m + (m - 1) * (d - 1) for m, d in zip(kernel, dilation, strict=True)]
    pads = tuple(tuple(draw(st.integers(0, m // 2)) for _ in range(2)) for m in reach)
    geometry = PoolGeometry.make(kernel, stride, pads, dilation, draw(st.booleans()), rank=rank)
    size = tuple(m + draw(st.integers(0, 20)) for m in reach)
    kind = draw(st.sampled_from(["max", "avg"]))
    more = {"with_indices": draw(st.booleans())} if kind == "max" else {
        "count_include_pad": draw(st.booleans()), "divisor": draw(st.none() | st.integers(1, 99))
    }
    direction = draw(st.sampled_from([Pass.FORWARD, Pass.BACKWARD_DATA]))
    dtype = draw(st.sampled_from(["float32", "float16"]))
    return PoolProblem(kind, geometry, draw(st.integers(0, 9)), draw(st.integers(1, 99)), size, direction=direction, dtype=dtype, **more)


@given(pool_problems())
def test_poolings_round_trip(problem: PoolProblem) -> None:
    assert parse(str(problem)) == problem
    assert str(parse(str(problem))) == str(problem)


@given(conv_problems(), st.sampled_from(["float32", "float16"]))
def test_different_problems_print_differently(problem: ConvProblem, dtype: str) -> None:
    other = replace(problem, dtype=dtype)
    assert (str(other) == str(problem)) == (other == problem)


@given(
    st.lists(
        st.sampled_from(
            [*"ncikfspodgx,:+0123456789()e.-", "conv ", "deconv ", "maxpool ", "n1c4i8x8k4f3x3", "bias", "relu", "leaky_relu(", "bwd_d",
             "f16", "ceil", "div"]  # fmt: skip
        ),
        max_size=12,
    ).map("".join)
    | st.text(max_size=20)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        problem = parse(text)
    except GeometryError as error:
        assert str(error)
    else:
        assert parse(str(problem)) == problem


# Refusals: (text, parts of the message)

REFUSED = [
    ("pool n1c3i8x8f2x2", "kind 'pool' is not one of conv, deconv, maxpool, avgpool"),
    ("", "expected letters with numbers such as n1c3i8x8k4f3x3"),
    ("conv n1c3i8x8k4f3x3z2", "expected letters with numbers"),
    ("conv n1c3i8x8k4f3x3 s2", "expected letters with numbers"),
    ("conv n1c3i8x8k4f3x3+bias:bwd_d", "expected letters with numbers such as n1c3i8x8k4f3x3, then :flags, then +epilogue"),
    ("conv n1c3c4i8x8k4f3x3", "a letter is given twice"),
    ("conv n1i8x8k4f3x3", "'c' is missing; c, i, f and k must be given"),
    ("conv n1c3i8x8f3x3", "'k' is missing; c, i, f and k must be given"),
    ("maxpool n1c3i8x8", "'f' is missing; c, i, f must be given"),
    ("maxpool n1c3i8x8f2x2+relu", "pooling has no epilogue, got '+relu'"),
    ("conv n1c3i8x8k4f3x3x3", "f has 3 entries for 2 spatial axes"),
    ("conv n1c3i8x8k4f3x3s1x2x1", "s has 3 entries for 2 spatial axes"),
    ("conv n1c3i8xk4f3x3", "i must hold whole numbers joined by x, got nothing"),
    ("conv n1c3i8,8k4f3x3", "i must hold whole numbers joined by x, got '8,8'"),
    ("conv n1c3i8x8k4f3x3p1,2,3", "padding '1,2,3' has 3 sides; give begin,end or one number"),
    ("conv n1c3i8x8k4f3x3p1x1x1", "p has 3 entries for 2 spatial axes"),
    ("conv n1c0i8x8k4f3x3", "c must be at least 1, got 0"),
    ("conv n1c3i8x8k0f3x3", "k must be at least 1, got 0"),
    ("conv n1c3i8x8k4f3x3g0", "g must be at least 1, got 0"),
    ("conv n1c3i8x8k4f3x3g2", "channels 3 and filters 4 must both divide by groups 2"),
    ("conv n1c3i8x8k4f3x3s0", "stride must be at least 1", "(0, 0)"),
    ("conv n1c3i8x8k4f0x3", "kernel size must be at least 1", "(0, 3)"),
    ("conv n1c3i8x8x8x8k4f1", "4 spatial axes; 1, 2 and 3 are supported"),
    ("conv n1c3i8x8k4f3x3:bwd", "flag :bwd is not one of :fwd, :bwd_d, :bwd_w, :f16"),
    ("conv n1c3i8x8k4f3x3:bwd_d:bwd_w", "more than one of :bwd_d, :bwd_w"),
    ("conv n1c3i8x8k4f3x3+gelu", "epilogue +gelu is not one of +bias, +res, +relu, +leaky_relu(slope), +clip("),
    ("conv n1c3i8x8k4f3x3+clip(1.0,6.0)", "clip takes bounds around 0, got [1.0, 6.0]"),
    ("conv n1c3i8x8k4f3x3+clip(-1.0)", "clip takes bounds around 0, got [-1.0]"),
    ("conv n1c3i8x8k4f3x3+clip(-1.0,i)", "bound 'i' is not a number"),
    ("conv n1c3i8x8k4f3x3+leaky_relu(0.1.2)", "slope '0.1.2' is not a number"),
    ("conv n1c3i2x8k4f3x3", "axis 0: a kernel of 3 with dilation 1 reaches over 3, but the input of 2 with padding (0, 0) has only 2"),
    ("conv n1c3i8x8k4f3x3o1", "output_padding (1, 1) must be smaller than stride (1, 1) or dilation (1, 1)"),
    ("deconv n1c3i1x1k4f1x1p1", "axis 0: input 1, stride 1, reach 1, padding (1, 1) and output_padding 0 give -1 outputs"),
    ("maxpool n1c3i8x8f2x2:bwd_w", "flag :bwd_w is not one of :fwd, :bwd_d, :ceil, :idx, :nopad, :divN, :f16"),
    ("avgpool n1c3i8x8f2x2:div0", "divisor must be at least 1, got 0"),
    ("maxpool n1c3i8x8f2x2p2", "axis 0: padding (2, 2) must be at most half of the window's reach 2"),
    ("maxpool n1c3i8x2f3x3", "axis 1: a window of 3 with dilation 1 reaches over 3, but the input of 2 with padding (0, 0) has only 2"),
]


@pytest.mark.parametrize("text, parts", [(text, parts) for text, *parts in REFUSED])
def test_refusals_say_what_is_wrong(text: str, parts: list[str]) -> None:
    with pytest.raises(GeometryError) as caught:
        parse(text)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("text", [text for text, *_ in REFUSED if text.startswith("conv")][:20])
def test_refusals_quote_the_problem(text: str) -> None:
    with pytest.raises(GeometryError) as caught:
        parse(text)
    assert repr(text) in str(caught.value) or str(caught.value).startswith(("conv: ", text))
