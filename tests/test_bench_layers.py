"""Suites of layers: from networks, from CSV files with all that can be wrong in them, and the series of `bench scaling`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clconv.bench import onnx_files
from clconv.bench.contest import blank
from clconv.bench.layers import Layer, from_csv, merged, of_network, with_batch, with_pass
from clconv.bench.scaling import CLIFFS, Point, expected, series
from clconv.device import DeviceTraits
from clconv.errors import DataError, UnsupportedError
from clconv.problem import parse

HEADER = "op,n,c_in,h_in,w_in,c_out,kh,kw,groups,sh,sw,ph,pw,ph_end,pw_end,dh,dw,h_out,w_out,count,name,source"


def csv_file(folder, *lines: str, header: str = HEADER) -> str:
    path = folder / "shapes.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


@pytest.mark.parametrize(
    "line, text",
    [
        ("conv,2,3,8,9,4,3,3,1,1,1,1,1,1,1,1,1,8,9,,,", "conv n2c3i8x9k4f3x3p1"),
        ("conv,1,6,9,9,6,3,2,6,2,1,0,1,1,0,2,1,,,,,", "conv n1c6i9x9k6f3x2s2x1p0,1x1,0d2x1g6"),
        ("conv,1,3,8,8,4,3,3,,,,,,,,,,,,,,", "conv n1c3i8x8k4f3x3"),
        ("conv,1,3,8,8,4,1,1,1,2,2,0,0,-1,-1,1,1,4,4,,,", "conv n1c3i8x8k4f1x1s2"),
        ("deconv,1,3,5,5,4,4,4,1,2,2,1,1,1,1,1,1,10,10,,,", "deconv n1c3i5x5k4f4x4s2p1"),
        ("deconv,1,3,5,5,4,3,3,1,2,2,1,1,1,1,1,1,10,10,,,", "deconv n1c3i5x5k4f3x3s2p1o1"),
        ("pool,1,3,8,8,3,3,3,1,2,2,0,0,1,1,1,1,4,4,,,", "maxpool n1c3i8x8f3x3s2p0,1"),
        ("pool,1,3,4,4,3,3,3,1,2,2,1,1,2,2,1,1,3,3,,,", "maxpool n1c3i4x4f3x3s2p1,2"),
        ("avgpool,1,3,8,8,,2,2,1,2,2,0,0,0,0,1,1,,,,,", "avgpool n1c3i8x8f2x2"),
    ],
)
def test_lines_become_problems(line: str, text: str, tmp_path) -> None:
    ((layer,), refused) = from_csv(csv_file(tmp_path, line))
    assert str(layer.problem) == text and layer.count == 1 and layer.name == "shapes" and not refused


def test_lines_may_hold_the_text_form(tmp_path) -> None:
    path = csv_file(tmp_path, "conv n1c3i8x8k4f3x3p1+relu,3,stem", '"conv n1c3i8x8k4f3x3p1,0",,', header="problem,count,name")
    (first, second), _ = from_csv(path)
    assert (str(first.problem), first.count, first.name) == ("conv n1c3i8x8k4f3x3p1+relu", 3, "stem")
    assert (str(second.problem), second.count, second.name) == ("conv n1c3i8x8k4f3x3p1,0", 1, "shapes")


def test_equal_lines_are_counted_once_and_others_chosen_by_their_text(tmp_path) -> None:
    line = "conv,1,3,8,8,4,3,3,1,1,1,1,1,1,1,1,1,,,{},{},{}"
    path = csv_file(
        tmp_path, line.format(2, "a", "resnet"), line.format(5, "b", "resnet"), line.format(1, "c", "vgg").replace("8,8", "9,9")
    )
    layers, _ = from_csv(path, batch=4)
    assert [(str(each.problem), each.count) for each in layers] == [("conv n4c3i8x8k4f3x3p1", 7), ("conv n4c3i9x9k4f3x3p1", 1)]
    assert len(from_csv(path, only="vgg")[0]) == 1
    with pytest.raises(DataError, match="no line describes a layer with 'alexnet' in it"):
        from_csv(path, only="alexnet")


@pytest.mark.parametrize(
    "line, reason",
    [
        ("conv,1,3,2,2,4,3,3,1,1,1,0,0,0,0,1,1,,,,,", "line 2: .*reaches over 3, but the input of 2"),
        ("conv,1,3,8,8,4,3,3,2,1,1,0,0,0,0,1,1,,,,,", "line 2: .*channels 3 and filters 4 must both divide by groups 2"),
        ("conv,1,3,8,8,4,3,3,1,1,1,1,1,1,1,1,1,7,7,,,", r"line 2: the output would be \(8, 8\), the file says \(7, 7\)"),
        ("pool,1,3,8,8,3,2,2,1,2,2,2,2,0,0,1,1,,,,,", "line 2: padding .* must be less than the window's reach"),
    ],
)
def test_lines_that_describe_no_layer_are_left_out_with_their_reason(line: str, reason: str, tmp_path) -> None:
    good = "conv,1,3,8,8,4,3,3,,,,,,,,,,,,,,"
    layers, (sentence,) = from_csv(csv_file(tmp_path, line, good))
    assert len(layers) == 1
    with pytest.raises(DataError, match=reason):
        from_csv(csv_file(tmp_path, line))
    assert sentence.startswith("line 2: ")


@pytest.mark.parametrize(
    "lines, header, message",
    [
        (["conv,1,3"], "op,n,c_in", "the header lacks h_in, w_in, kh, kw; it needs op, n, c_in, h_in, w_in, kh, kw, or a column named"),
        (["conv,1,3,8,8,4,3"], "op,n,c_in,h_in,w_in,c_out,kh,kw", "line 2: fewer cells than the header's 8"),
        (["conv,1,3,8,8,4,3,3,9"], "op,n,c_in,h_in,w_in,c_out,kh,kw", "line 2: more cells than the header's 8"),
        (["conv,1,three,8,8,4,3,3"], "op,n,c_in,h_in,w_in,c_out,kh,kw", "line 2: c_in must be a whole number, got 'three'"),
        (["conv,1,3,8,8,,3,3"], "op,n,c_in,h_in,w_in,c_out,kh,kw", "line 2: c_out must be a whole number, got ''"),
        (["rnn,1,3,8,8,4,3,3"], "op,n,c_in,h_in,w_in,c_out,kh,kw", "line 2: op 'rnn' is not one of conv, deconv, pool, maxpool, avgpool"),
        ([], "op,n,c_in,h_in,w_in,c_out,kh,kw", "no line describes a layer"),
        ([], "", "the header lacks op"),
    ],
)
def test_files_that_are_none_are_refused(lines: list[str], header: str, message: str, tmp_path) -> None:
    with pytest.raises(DataError, match=message):
        from_csv(csv_file(tmp_path, *lines, header=header))


def test_a_file_that_cannot_be_read_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        from_csv(tmp_path / "none.csv")
    (tmp_path / "image.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(DataError, match="cannot be read"):
        from_csv(tmp_path / "image.csv")


@pytest.mark.parametrize(
    "text, direction, result",
    [
        ("conv n1c3i8x8k4f3x3p1+bias+relu", "forward", "conv n1c3i8x8k4f3x3p1+bias+relu"),
        ("conv n1c3i8x8k4f3x3p1+bias+relu", None, "conv n1c3i8x8k4f3x3p1+bias+relu"),
        ("conv n1c3i8x8k4f3x3p1+bias+relu", "bwd_d", "conv n1c3i8x8k4f3x3p1:bwd_d"),
        ("conv n1c3i8x8k4f3x3p1:bwd_d", "forward", "conv n1c3i8x8k4f3x3p1"),
        ("conv n1c3i8x8k4f3x3p1", "bwd_w", "conv n1c3i8x8k4f3x3p1:bwd_w"),
        ("deconv n1c3i5x5k4f4x4s2p1+bias", "bwd_d", "deconv n1c3i5x5k4f4x4s2p1:bwd_d"),
        ("deconv n1c3i5x5k4f4x4s2p1+bias", "forward", "deconv n1c3i5x5k4f4x4s2p1+bias"),
        ("deconv n1c3i5x5k4f4x4s2p1", "bwd_w", "deconv n1c3i5x5k4f4x4s2p1:bwd_w"),
        ("maxpool n1c3i8x8f2x2:idx", "bwd_d", "maxpool n1c3i8x8f2x2:bwd_d"),
    ],
)
def test_passes(text: str, direction: str | None, result: str) -> None:
    assert str(with_pass(parse(text), direction)) == result


def test_pooling_has_no_weight_gradient() -> None:
    with pytest.raises(UnsupportedError, match="pooling has no weights"):
        with_pass(parse("maxpool n1c3i8x8f2x2"), "bwd_w")


def test_the_layers_of_a_network_are_those_of_its_compiled_form() -> None:
    assert [(str(layer.problem), layer.count) for layer in of_network("lenet5", 3)] == [
        ("conv n3c1i28x28k6f5x5p2+bias+relu", 1),
        ("maxpool n3c6i28x28f2x2", 1),
        ("conv n3c6i14x14k16f5x5+bias+relu", 1),
        ("maxpool n3c16i10x10f2x2", 1),
    ]
    assert [str(layer.problem) for layer in of_network("lenet5", 1, "bwd_w")] == [
        "conv n1c1i28x28k6f5x5p2:bwd_w",
        "conv n1c6i14x14k16f5x5:bwd_w",
    ]


def test_a_residual_network_repeats_its_layers() -> None:
    layers = of_network("resnet18")
    assert sum(layer.count for layer in layers) == 21 and "conv n1c64i56x56k64f3x3p1+bias+relu+res" in {
        str(each.problem) for each in layers
    }
    assert all(str(layer.problem).startswith("deconv ") for layer in of_network("dcgan"))


def test_layers_are_merged_in_order() -> None:
    a, b = parse("n1c3i8x8k4f3x3"), parse("n1c3i9x9k4f3x3")
    assert merged([Layer(a), Layer(b, 2), Layer(a, 3)]) == [Layer(a, 4), Layer(b, 2)]
    assert with_batch(a, None) is a and with_batch(a, 5).batch == 5


def test_series_change_one_thing() -> None:
    base = parse("n1c64i56x56k64f5x5p1")
    assert [value for value, _ in series(base, "batch")][:4] == [1, 2, 3, 4]
    sizes = dict(series(base, "size"))
    assert min(sizes) == 3, "windows of 5 do not fit into less, with one pixel of padding on each side"
    assert str(sizes[17]) == "conv n1c64i17x17k64f5x5p1"
    channels = dict(series(parse("n1c64i56x56k64f3x3p1g64"), "channels"))
    assert str(channels[7]) == "conv n1c7i56x56k7f3x3p1g7", "depthwise stays depthwise"
    assert all(parse(text).geometry.output_size(parse(text).size) for text in CLIFFS)


def test_a_value_far_above_its_neighbours_is_a_cliff() -> None:
    row = blank("scaling", "", DeviceTraits.cpu())
    times = {1: 1.0, 2: 2.0, 4: 40.0, 8: 8.0, 16: 16.0}
    points = expected([Point("batch", value, replace(row, median_ms=ms)) for value, ms in times.items()])
    assert [point.is_cliff for point in points] == [False, False, True, False, False]
    assert points[0].cliff is None and points[2].expected == pytest.approx(4.0) and points[2].cliff == pytest.approx(10.0)


# ONNX files, changed for everybody before anybody reads them


def model(batch: int = 1):
    """x (batch, 4) -> LRN -> Reshape (batch, 2, 2) -> Relu -> LRN."""
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("LRN", ["x"], ["a"], size=3),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("LRN", ["c"], ["y"], size=3),
    ]
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in (("x", (batch, 4)), ("y", (batch, 2, 2)))]
    graph = helper.make_graph(nodes, "toy", info[:1], info[1:], [numbers.from_array(np.array([batch, 2, 2]), "shape")])
    return helper.make_model(graph)


def test_the_batch_of_a_file_is_changed_where_shapes_say_it() -> None:
    from onnx import numpy_helper

    before = model()
    changed = onnx_files.with_batch(before, 8)
    assert onnx_files.input_shapes(changed, 8) == {"x": (8, 4)}
    assert changed.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 8
    assert numpy_helper.to_array(changed.graph.initializer[0]).tolist() == [8, 2, 2]
    assert numpy_helper.to_array(before.graph.initializer[0]).tolist() == [1, 2, 2], "the file itself stays as it is"
    assert onnx_files.with_batch(before, 1).graph.output[0].type.tensor_type.HasField("shape")


def test_operators_are_left_out() -> None:
    changed = onnx_files.without_operators(model(), ["LRN"])
    assert [(node.op_type, list(node.input), list(node.output)) for node in changed.graph.node] == [
        ("Reshape", ["x", "shape"], ["b"]),
        ("Relu", ["b"], ["y"]),
    ]
    with pytest.raises(UnsupportedError, match="--without Conv: the file has no such operator; it has LRN, Relu, Reshape"):
        onnx_files.without_operators(model(), ["Conv"])


def test_files_that_leave_sizes_open_are_refused() -> None:
    open_sizes = model()
    open_sizes.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    with pytest.raises(UnsupportedError, match="input 'x' leaves sizes open"):
        onnx_files.input_shapes(open_sizes, 1)


def test_light_models_go_by_short_names_too() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(UnsupportedError, match="--light lenet: the light models are bvlc_alexnet, "):
        onnx_files.light("lenet")
    assert len(onnx_files.light("squeezenet").graph.node) > 50
