"""How many elements a tensor takes in each layout, and how layouts read in messages."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clconv.errors import UnsupportedError
from clconv.tensor import MOST_ELEMENTS, PLAIN, Blocked, Packed, Strided, TensorSpec, Transformed, contiguous_strides, round_up
from tests.support import load, pack_weights, store, transform_weights

SIDES = st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def blocked_specs(draw: st.DrawFn) -> TensorSpec:
    n, c, h, w = (draw(st.integers(1, most)) for most in (3, 40, 6, 6))
    block = draw(st.sampled_from([1, 4, 8, 16]))
    own = -(-c // block)
    first, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    blocks = draw(st.sampled_from([None, first + own + after]))
    layout = Blocked(block, (draw(SIDES), draw(SIDES)), blocks, 0 if blocks is None else first)
    shape = draw(st.sampled_from([(n, c, h, w), (n, c, w)]))
    return TensorSpec(shape, draw(st.sampled_from(["float32", "float16", "int32"])), layout)


@given(blocked_specs())
def test_blocked_storage_holds_blocks_with_their_halo(spec: TensorSpec) -> None:
    """Against a NumPy construction of the layout that pads, splits and transposes."""
    array = np.arange(spec.elements).reshape(spec.shape) % 2000
    flat = store(array, spec)
    assert flat.size == spec.storage_elements
    assert flat.nbytes == spec.nbytes
    np.testing.assert_array_equal(load(flat, spec), array)


def test_blocked_storage_by_hand() -> None:
    layout = Blocked(8, ((1, 2), (0, 1)))
    spec = TensorSpec((2, 20, 7, 7), layout=layout)
    assert (spec.channel_blocks, spec.blocks_in_buffer, spec.padded_plane) == (3, 3, (10, 8))
    assert spec.storage_elements == 2 * 3 * 10 * 8 * 8
    slice_of_more = spec.with_layout(Blocked(8, ((1, 2), (0, 1)), 5, 2))
    assert (slice_of_more.channel_blocks, slice_of_more.blocks_in_buffer) == (3, 5)
    assert slice_of_more.storage_elements == 2 * 5 * 10 * 8 * 8


def test_one_spatial_axis_counts_as_one_row() -> None:
    assert TensorSpec((2, 3, 9)).planes == (2, 3, 1, 9)
    assert TensorSpec((2, 3, 9), layout=Blocked(4, ((0, 0), (1, 1)))).storage_elements == 2 * 1 * 1 * 11 * 4


@given(
    groups=st.integers(1, 3), own_k=st.integers(1, 40), own_c=st.integers(1, 20), kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    block=st.sampled_from([4, 8, 16]), block_in=st.sampled_from([1, 4, 8]), tile=st.integers(1, 4), turned=st.booleans(),
)  # fmt: skip
def test_packed_storage_fills_up_group_by_group(groups, own_k, own_c, kernel, block, block_in, tile, turned) -> None:
    layout = Packed(block, block_in, tile, groups, turned)
    spec = TensorSpec((groups * own_k, own_c, *kernel), layout=layout)
    weights = np.ones(spec.shape, np.float32)
    packed = pack_weights(weights, layout)
    assert packed.size == spec.storage_elements
    assert packed.sum() == weights.size, "every weight once, zeros elsewhere"


@pytest.mark.parametrize("turned", [False, True])
def test_transformed_storage_is_what_numpy_makes(turned: bool) -> None:
    for groups, shape, outputs, stride in product((1, 2), ((6, 5, 3, 3), (4, 9, 2, 5), (2, 3, 4)), (2, 3), (1, 2)):
        rows, columns = (1, *shape[2:])[-2:]
        layout = Transformed(8, 2, (1 if rows == 1 else outputs, outputs), (1 if rows == 1 else stride, stride), groups, turned)
        spec = TensorSpec(shape, layout=layout)
        transformed = transform_weights(np.ones(shape, np.float32), layout)
        assert transformed.size == spec.storage_elements
        assert spec.storage_elements % (16 * spec.weights_of_group[1]) == 0


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-6, 6)), min_size=1, max_size=4), st.integers(0, 3)
)  # fmt: skip
def test_strided_storage_reaches_to_the_last_element(axes: list[tuple[int, int]], before: int) -> None:
    shape, strides = tuple(n for n, _ in axes), tuple(s for _, s in axes)
    offset = before + sum((n - 1) * -s for n, s in axes if s < 0 and n)
    spec = TensorSpec(shape, layout=Strided(strides, offset))
    places = [offset + sum(i * s for i, s in zip(index, strides, strict=True)) for index in np.ndindex(*shape)]
    assert spec.storage_elements == (max(places) + 1 if places else 0)


@given(st.lists(st.integers(1, 5), max_size=5))
def test_contiguous_strides_are_numpys(shape: list[int]) -> None:
    array = np.empty(shape, np.float32)
    assert contiguous_strides(tuple(shape)) == tuple(s // 4 for s in array.strides)


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_round_up(value: int, multiple: int) -> None:
    up = round_up(value, multiple)
    assert up % multiple == 0 and value <= up < value + multiple


@pytest.mark.parametrize("dtype, nbytes", [("float32", 24), ("int32", 24), ("float16", 12)])
def test_bytes_follow_the_element_type(dtype: str, nbytes: int) -> None:
    assert TensorSpec((2, 3), dtype).nbytes == nbytes


def test_plain_storage_and_scalars() -> None:
    assert TensorSpec((3, 0, 5)).storage_elements == 0
    assert TensorSpec(()).storage_elements == 1
    assert TensorSpec((2, 3), layout=Blocked(4)).with_layout(PLAIN) == TensorSpec((2, 3))


def test_a_tensor_beyond_32_bit_indices_is_refused_before_anything_is_allocated() -> None:
    TensorSpec((MOST_ELEMENTS,)).check_addressable("conv")
    with pytest.raises(UnsupportedError) as caught:
        TensorSpec((2, 2**30)).check_addressable("conv n2")
    assert str(caught.value) == (
        "conv n2: a tensor of shape (2, 1073741824) (plain) has 2147483648 elements, kernels address at most 2147483647; split the batch"
    )


def test_the_padding_of_a_layout_counts_too() -> None:
    """1 channel in blocks of 16 takes 16 times its elements."""
    small = TensorSpec((1, 1, 2**14, 2**14))
    small.check_addressable("pool")
    assert math.prod(small.shape) * 16 > MOST_ELEMENTS
    with pytest.raises(UnsupportedError, match="blocked 16, halo 0,0 0,0"):
        small.with_layout(Blocked(16)).check_addressable("pool")


@pytest.mark.parametrize(
    "layout, text",
    [
        (PLAIN, "plain"),
        (Strided((4, 1), 2), "strided"),
        (Blocked(8, ((1, 2), (0, 3))), "blocked 8, halo 1,2 0,3"),
        (Blocked(8, blocks=6, first=2), "blocked 8, halo 0,0 0,0, blocks 2.. of 6"),
        (Packed(8, 1, 2), "packed 1x16"),
        (Packed(8, 8, 2, turned=True), "packed 8x16 turned"),
        (Transformed(8, 2, (4, 1)), "transformed 4x1 by 16"),
        (Transformed(8, 1, (2, 2), (2, 1), turned=True), "transformed 2x2 stride 2x1 by 8 turned"),
    ],
)
def test_layouts_for_people(layout, text: str) -> None:
    assert str(layout) == text
