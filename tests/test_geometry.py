"""Sizes, padding forms, phases and error messages of clconv.geometry, against hand-worked numbers and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clconv.errors import ClconvError, GeometryError
from clconv.geometry import ConvGeometry, Phase, PoolGeometry, adaptive_window, effective_kernel, per_axis

repeatable = settings(deadline=None, derandomize=True)  # the same cases every time, however busy the machine

# --- Convolution sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "keywords", "size", "expected"),
    [
        ((5,), {}, (28,), (24,)),  # narrow: n - m + 1
        ((3,), {"padding": 2}, (7,), (9,)),  # wide: n + m - 1
        ((3,), {"padding": 1}, (7,), (7,)),  # same: p = (m - 1) / 2
        ((7, 7), {"stride": 2, "padding": 3}, (224, 224), (112, 112)),  # ResNet's stem: (224 - 7 + 6) / 2 + 1, rounded down
        ((11, 11), {"stride": 4, "padding": 2}, (224, 224), (55, 55)),  # AlexNet's first layer
        ((2, 3), {"stride": (1, 2), "padding": (0, 1)}, (4, 5), (3, 3)),
        ((3, 3), {"padding": ((1, 2), (0, 1))}, (5, 5), (6, 4)),  # one side at a time
        ((3,), {"dilation": 4, "padding": 4}, (10,), (10,)),  # m' = 3 + 2 * 3 = 9
        ((3,), {"dilation": 2, "stride": 3}, (12,), (3,)),  # (12 - 5) / 3 + 1
        ((1, 2), {"stride": (3, 4)}, (7, 9), (3, 2)),  # stride above the kernel
        ((1, 2, 3), {"stride": (1, 2, 3), "padding": (0, 1, 2), "dilation": (5, 2, 1)}, (1, 4, 8), (1, 2, 4)),
        ((3, 3), {"padding": 1}, (1, 1), (1, 1)),
    ],
)
def test_output_size_by_hand(kernel, keywords, size, expected):
    assert ConvGeometry.make(kernel, **keywords).output_size(size) == expected


def test_effective_kernel_counts_the_holes():
    assert effective_kernel((3, 3, 1), (1, 2, 7)) == (3, 5, 1)
    assert ConvGeometry.make((4,), dilation=3).effective_kernel == (10,)


@pytest.mark.parametrize(
    ("padding", "keywords", "expected"),
    [
        (2, {}, ((2, 2), (2, 2))),
        ((1, 2), {}, ((1, 1), (2, 2))),
        ([1, 2], {}, ((1, 1), (2, 2))),
        (np.int64(3), {}, ((3, 3), (3, 3))),
        (((1, 2), (0, 1)), {}, ((1, 2), (0, 1))),
        ([[1, 2], (0, 1)], {}, ((1, 2), (0, 1))),
        ("valid", {}, ((0, 0), (0, 0))),
        ("full", {}, ((1, 1), (2, 2))),
        ("full", {"dilation": (3, 2)}, ((3, 3), (4, 4))),
        ("same", {}, ((0, 1), (1, 1))),  # an even kernel's odd element comes at the end
        ("same", {"dilation": (3, 2)}, ((1, 2), (2, 2))),
        ("same", {"stride": 2, "input_size": (5, 6)}, ((0, 1), (0, 1))),  # needs 2*2+2-5 = 1 and 2*2+3-6 = 1
        ("same", {"stride": (3, 4), "input_size": (5, 9)}, ((0, 0), (1, 1))),  # needs 3+2-5 = 0 and 2*4+3-9 = 2
        ("same", {"stride": 5, "input_size": (3, 5)}, ((0, 0), (0, 0))),  # a stride beyond the window needs none
    ],
)
def test_padding_forms(padding, keywords, expected):
    assert ConvGeometry.make((2, 3), padding=padding, **keywords).padding == expected


@pytest.mark.parametrize(
    ("kernel", "keywords", "size", "expected"),
    [
        ((3,), {}, (4,), (6,)),  # p + m - 1
        ((3,), {"stride": 2}, (4,), (9,)),  # s (p - 1) + m
        ((4, 4), {"stride": 2, "padding": 1}, (4, 7), (8, 14)),  # DCGAN's doubling layer
        ((3,), {"stride": 2, "padding": 1, "output_padding": 1}, (7,), (14,)),
        ((3,), {"stride": 2, "padding": ((0, 1),), "dilation": 2}, (3,), (8,)),
        ((2,), {"stride": 5}, (3,), (12,)),  # gaps between the windows
        ((2,), {"dilation": 2, "output_padding": 1}, (3,), (6,)),  # above stride - 1, below dilation: as torch
        ((1, 2, 3), {"stride": (1, 2, 3), "output_padding": (0, 1, 2)}, (2, 2, 2), (2, 5, 8)),
    ],
)
def test_transposed_output_size_by_hand(kernel, keywords, size, expected):
    assert ConvGeometry.make(kernel, **keywords).transposed_output_size(size) == expected


# --- Convolution properties ----------------------------------------------------------------------------------------

small = st.integers(1, 6)
pads = st.tuples(st.integers(0, 5), st.integers(0, 5))


@st.composite
def line(draw):
    """A convolution along one axis."""
    return ConvGeometry.make((draw(small),), draw(small), (draw(pads),), draw(small))


@repeatable
@given(line(), small, st.data())
def test_transposed_output_size_inverts_output_size(geometry, outputs, data):
    extra = data.draw(st.integers(0, geometry.stride[0] - 1))
    transpose = ConvGeometry.make(geometry.kernel, geometry.stride, geometry.padding, geometry.dilation, output_padding=extra)
    assume(geometry.stride[0] * (outputs - 1) + geometry.effective_kernel[0] + extra > sum(geometry.padding[0]))
    assert geometry.output_size(transpose.transposed_output_size((outputs,))) == (outputs,)


@repeatable
@given(line(), st.integers(1, 40))
def test_exactly_one_output_padding_leads_back(geometry, n):
    assume(n + sum(geometry.padding[0]) >= geometry.effective_kernel[0])
    outputs = geometry.output_size((n,))
    sizes = []
    for extra in range(geometry.stride[0]):
        transpose = ConvGeometry.make(geometry.kernel, geometry.stride, geometry.padding, geometry.dilation, output_padding=extra)
        try:
            sizes.append(transpose.transposed_output_size(outputs))
        except GeometryError:  # padding wider than what is left without the extra elements
            continue
    assert sizes.count((n,)) == 1


@repeatable
@given(line(), st.integers(1, 40))
def test_output_size_counts_the_windows_that_fit(geometry, n):
    begin, end = geometry.padding[0]
    starts = [o for o in range(100) if o * geometry.stride[0] - begin + geometry.effective_kernel[0] <= n + end]
    assume(starts)
    assert geometry.output_size((n,)) == (len(starts),)


@repeatable
@given(line(), st.integers(1, 40))
def test_reads_outside_and_end_reach_are_what_the_windows_touch(geometry, n):
    (m,), (s,), (d,), ((begin, end),) = geometry.kernel, geometry.stride, geometry.dilation, geometry.padding
    assume(n + begin + end >= geometry.effective_kernel[0])
    touched = {o * s + r * d - begin for o in range(geometry.output_size((n,))[0]) for r in range(m)}
    assert geometry.reads_outside((n,)) == any(not 0 <= i < n for i in touched)
    assert geometry.end_reach((n,)) == (max(0, max(touched) - n + 1),)
    assert geometry.end_reach((n,))[0] <= end


@repeatable
@given(small, small, small, st.integers(1, 40))
def test_same_gives_the_input_over_the_stride_rounded_up(m, s, d, n):
    geometry = ConvGeometry.make((m,), s, "same", d, input_size=(n,))
    begin, end = geometry.padding[0]
    assert geometry.output_size((n,)) == (-(-n // s),)
    assert end - begin in (0, 1)
    if end:  # no more than needed: the last window ends with the padding
        assert (-(-n // s) - 1) * s + geometry.effective_kernel[0] == begin + n + end


@repeatable
@given(small, small, st.integers(1, 40))
def test_full_and_valid_are_wide_and_narrow(m, d, n):
    reach = m + (m - 1) * (d - 1)
    assert ConvGeometry.make((m,), padding="full", dilation=d).output_size((n,)) == (n + reach - 1,)
    if n >= reach:
        assert ConvGeometry.make((m,), padding="valid", dilation=d).output_size((n,)) == (n - reach + 1,)


def test_geometry_is_a_value():
    one = ConvGeometry.make((3, 3), 2, 1)
    other = ConvGeometry.make((3, 3), (2, 2), ((1, 1), (1, 1)), 1, 1, 0)
    assert one == other and hash(one) == hash(other) and one.rank == 2
    assert PoolGeometry.make(2, rank=2) == PoolGeometry.make((2, 2), 2, "valid", rank=2)


# --- Phases of the backward-data pass ------------------------------------------------------------------------------


def test_phases_cover_exactly_the_definition():
    """Every (kernel element, gradient position) that the definition gives to an input position, and no other."""
    n = outputs = 13
    for m, s, d, begin in itertools.product(range(1, 6), range(1, 6), range(1, 6), range(5)):
        phases = ConvGeometry.make((m,), s, begin, d).phases(0)
        assert [phase.first for phase in phases] == list(range(s))
        for i in range(n):
            phase = phases[i % s]
            j = i // s
            got = [(phase.tap0 + t * phase.tap_step, phase.offset + j + t * phase.step) for t in range(phase.taps)]
            want = {(r, p) for r in range(m) for p in range(-30, outputs + 30) if i + begin == p * s + r * d}
            assert len(set(got)) == len(got)
            assert set(got) == want, (m, s, d, begin, i)


def test_phases_by_hand():
    # Kernel 3, stride 2, padding 1: even positions meet the middle element only, odd ones the two outer elements.
    assert ConvGeometry.make((3,), stride=2, padding=1).phases(0) == (Phase(0, 1, 1, 2, 0, -1), Phase(1, 2, 0, 2, 1, -1))
    # A kernel of 1 under stride 3 leaves two of three positions without any gradient.
    assert [phase.taps for phase in ConvGeometry.make((1,), stride=3).phases(0)] == [1, 0, 0]
    # Each axis has its own.
    both = ConvGeometry.make((3, 5), stride=(1, 2), padding=(1, 0))
    assert both.phases(0) == (Phase(0, 3, 0, 1, 1, -1),) and len(both.phases(1)) == 2


# --- Pooling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "n", "floor", "ceil"),
    [
        ({"kernel": 2}, 7, 3, 4),
        ({"kernel": 2}, 8, 4, 4),
        ({"kernel": 3, "stride": 2}, 6, 2, 3),  # the last window hangs over the input
        ({"kernel": 3, "stride": 2, "padding": 1}, 112, 56, 57),  # ResNet's stem must not use ceil_mode
        ({"kernel": 3, "stride": 2}, 112, 55, 56),  # GoogLeNet's must
        ({"kernel": 2, "stride": 2, "padding": 1}, 3, 2, 2),  # a third window would start in the end padding: dropped
        ({"kernel": 1, "stride": 3}, 2, 1, 1),  # starts beyond the input: dropped
        ({"kernel": 3, "stride": 2, "dilation": 2}, 8, 2, 3),
        ({"kernel": 2, "stride": 3, "padding": ((0, 1),)}, 5, 2, 2),
    ],
)
def test_pool_output_size_by_hand(keywords, n, floor, ceil):
    assert PoolGeometry.make(**keywords, rank=1).output_size((n,)) == (floor,)
    assert PoolGeometry.make(**keywords, ceil_mode=True, rank=1).output_size((n,)) == (ceil,)


def test_pool_takes_padding_by_name():
    assert PoolGeometry.make(3, 2, "same", rank=2, input_size=(5, 6)).padding == ((1, 1), (0, 1))
    assert PoolGeometry.make(3, 1, "full", rank=1).output_size((4,)) == (6,)
    assert PoolGeometry.make(2, rank=3).stride == (2, 2, 2)


def test_a_ceil_mode_window_may_be_larger_than_the_input():
    assert PoolGeometry.make(3, 2, ceil_mode=True, rank=1).output_size((2,)) == (1,)


@st.composite
def pools(draw):
    m, s, d, n, ceil = draw(small), draw(small), draw(small), draw(st.integers(1, 20)), draw(st.booleans())
    half = (m + (m - 1) * (d - 1)) // 2
    sides = st.tuples(st.integers(0, half), st.integers(0, half)).map(lambda pair: (pair,))
    return PoolGeometry.make(m, s, draw(st.one_of(sides, st.sampled_from(["same", "full"]))), d, ceil, rank=1, input_size=(n,)), n


@repeatable
@given(pools())
def test_every_window_of_an_accepted_pool_holds_an_element(case):
    geometry, n = case
    (m,), (s,), (d,), ((begin, end),) = geometry.kernel, geometry.stride, geometry.dilation, geometry.padding
    reach = geometry.effective_kernel[0]
    # Window o follows if the one before leaves something to cover (all of a step without ceil_mode) and it starts before the end padding.
    count = 0 if n + begin + end < reach and not (geometry.ceil_mode and n + begin + end > reach - s) else 1
    while count and (
        count * s < n + begin and (count - 1) * s + reach < n + begin + end if geometry.ceil_mode else count * s + reach <= n + begin + end
    ):
        count += 1
    windows = [[i for i in range(o * s - begin, o * s - begin + reach, d)] for o in range(count)]
    if not windows or not all(any(0 <= i < n for i in window) for window in windows):
        with pytest.raises(GeometryError):
            geometry.output_size((n,))
        return
    assert geometry.output_size((n,)) == (count,)
    assert geometry.reads_outside((n,)) == any(not 0 <= i < n for window in windows for i in window)
    assert all(len(window) == m for window in windows)


@repeatable
@given(st.integers(1, 40), st.integers(1, 40))
def test_adaptive_windows_cover_the_input(n, outputs):
    windows = [adaptive_window(n, outputs, i) for i in range(outputs)]
    assert windows[0][0] == 0 and windows[-1][1] == n
    assert all(start < end for start, end in windows)
    assert all(right[0] <= left[1] for left, right in itertools.pairwise(windows))
    if n % outputs == 0:
        assert {end - start for start, end in windows} == {n // outputs}


def test_adaptive_windows_by_hand():
    assert [adaptive_window(7, 3, i) for i in range(3)] == [(0, 3), (2, 5), (4, 7)]
    assert [adaptive_window(2, 3, i) for i in range(3)] == [(0, 1), (0, 2), (1, 2)]


# --- Errors --------------------------------------------------------------------------------------------------------

LARGEST = 2**31 - 1
BOUNDS = f"at least {{}} and at most {LARGEST}"

REFUSED = [
    (
        lambda: ConvGeometry.make((3, 3), stride=(1, 2, 3), operation="conv2d"),
        "conv2d: stride (1, 2, 3) has 3 entries for 2 spatial axes; give one number or 2",
    ),
    (lambda: ConvGeometry.make((3,), stride=1.5, operation="conv1d"), "conv1d: stride must be whole numbers, got 1.5"),
    (lambda: ConvGeometry.make((3, 3), padding=(1, (2, 3))), "conv: padding must be whole numbers, got (1, (2, 3))"),
    (lambda: ConvGeometry.make((3,), padding=np.array([[1, 2]])), "conv: padding must be whole numbers, got array([[1, 2]])"),
    (lambda: ConvGeometry.make((3, 0)), f"conv: kernel size must be {BOUNDS.format(1)}, got (3, 0)"),
    (lambda: ConvGeometry.make((3,), stride=0), f"conv: stride must be {BOUNDS.format(1)}, got 0"),
    (lambda: ConvGeometry.make((3,), dilation=-1), f"conv: dilation must be {BOUNDS.format(1)}, got -1"),
    (lambda: ConvGeometry.make((3,), groups=0), f"conv: groups must be {BOUNDS.format(1)}, got 0"),
    (lambda: ConvGeometry.make((3,), padding=2**62), f"conv: padding must be {BOUNDS.format(0)}, got {2**62}"),
    (lambda: ConvGeometry.make((3,), padding=((0, -1),)), f"conv: padding must be {BOUNDS.format(0)}, got (0, -1)"),
    (
        lambda: ConvGeometry.make((3,), padding="SAME", operation="conv1d"),
        'conv1d: padding \'SAME\' is not one of "valid", "same", "full"; give one of them, numbers or pairs',
    ),
    (
        lambda: ConvGeometry.make((3, 3), stride=(1, 2), padding="same"),
        'conv: padding "same" with stride (1, 2) depends on the input size, which is not known here; give numbers',
    ),
    (
        lambda: ConvGeometry.make((3, 3), padding=((1, 1),)),
        "conv: padding ((1, 1),) must hold one (begin, end) pair for each of the 2 spatial axes",
    ),
    (
        lambda: ConvGeometry.make((3,), padding=((1, 1, 1),)),
        "conv: padding ((1, 1, 1),) must hold one (begin, end) pair for each of the 1 spatial axes",
    ),
    (lambda: ConvGeometry.make((1, 2, 3, 4)), "conv: kernel (1, 2, 3, 4) has 4 spatial axes; 1, 2 and 3 are supported"),
    (lambda: ConvGeometry.make(()), "conv: kernel () has 0 spatial axes; 1, 2 and 3 are supported"),
    (
        lambda: ConvGeometry.make((3, 3), stride=2, output_padding=(1, 2), operation="conv_transpose2d"),
        "conv_transpose2d: output_padding (1, 2) must be smaller than stride (2, 2) or dilation (1, 1) on every axis; axis 1 is not",
    ),
    (
        lambda: ConvGeometry.make((3, 3), dilation=(1, 3), padding=(0, 1)).output_size((3, 4), "conv2d"),
        "conv2d: axis 1: a kernel of 3 with dilation 3 reaches over 7, but the input of 4 with padding (1, 1) has only 6; "
        "enlarge the input or the padding",
    ),
    (
        lambda: ConvGeometry.make((2,), padding=((1, 2),)).transposed_output_size((2,)),
        "conv_transpose: axis 0: input 2, stride 1, reach 2, padding (1, 2) and output_padding 0 give 0 outputs; at least 1 is needed",
    ),
    (
        lambda: ConvGeometry.make((2,), stride=2).transposed_output_size((0,)),
        "conv_transpose: axis 0: input 0, stride 2, reach 2, padding (0, 0) and output_padding 0 give 0 outputs; at least 1 is needed",
    ),
    (
        lambda: PoolGeometry.make(3, padding=(1, 2), rank=2, operation="max_pool2d"),
        "max_pool2d: axis 1: padding (2, 2) must be at most half of the window's reach 3",
    ),
    (
        lambda: PoolGeometry.make((2, 3), dilation=2, rank=2).output_size((3, 4), "max_pool2d"),
        "max_pool2d: axis 1: a window of 3 with dilation 2 reaches over 5, but the input of 4 with padding (0, 0) has only 4; "
        "enlarge the input or the padding",
    ),
    (
        lambda: PoolGeometry.make(2, 1, 1, 2, rank=1).output_size((1,), "max_pool1d"),
        "max_pool1d: axis 0: window 0 starts at -1 and with dilation 2 steps over the whole input of 1; lower the dilation or the padding",
    ),
    (lambda: PoolGeometry.make((2, 2), rank=1), "pool: kernel size (2, 2) has 2 entries for 1 spatial axes; give one number or 1"),
    (lambda: per_axis("ab", 2, "stride", 1), "geometry: stride must be whole numbers, got 'ab'"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refusals_name_the_rule_and_both_values(call, message):
    with pytest.raises(GeometryError) as caught:
        call()
    assert str(caught.value) == message
    assert isinstance(caught.value, ClconvError) and isinstance(caught.value, ValueError)
