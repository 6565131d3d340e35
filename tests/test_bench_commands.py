"""`clconv bench`: its tables, files, figures and exit codes, from rows that are made up."""

from __future__ import annotations

import builtins
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clconv.bench import layers as layers_module
from clconv.bench import networks, scaling
from clconv.bench.compare import compare, parse_share
from clconv.bench.contest import blank
from clconv.bench.report import RivalRow, Row, write_json
from clconv.bench.roofline import Peaks
from clconv.cli import main
from clconv.device import DeviceTraits
from clconv.errors import DataError

LONGEST = "conv n32c1024i14x14k1024f3x3s2p1g32+bias+relu+res"
TRAITS = DeviceTraits.cpu()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


def answer(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*arguments: str, code: int = 2) -> str:
    result = call(*arguments)
    assert result.exit_code == code and "Error: " in result.stderr and "Traceback" not in result.output, result.output
    return result.stderr


def row(text: str = LONGEST, ms: float = 123.4, **more: Any) -> Row:
    made = replace(
        blank("layers", text, TRAITS, name="toy"), algorithm="compiled", params="conv_blocked", median_ms=ms, min_ms=ms, spread=0.03,
        repeats=15, gflops=71.4, gbytes=12.3, share=0.83, launches=123, first_run_seconds=12.3, count=12,
    )  # fmt: skip
    return replace(made, **more)


def rivals(ms: float) -> tuple[RivalRow, ...]:
    return (
        RivalRow("torch", "2.13.0+cpu", "eager, 2 threads", 1.5 * ms, ms, 0.02, 1e-6),
        RivalRow("onnxruntime", "1.32.0", "all graph optimisations, 2 threads", 12.3 * ms, ms, 0.02, 2e-6),
        RivalRow("openvino", "2026.4.1", "latency, f32, 2 threads", 0.9 * ms, ms, 0.02, 0.0),
    )


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Commands that measure nothing: rows come from here. Keeps what they were asked."""
    own: dict[str, Any] = {"row": row(rivals=rivals(123.4)), "asked": []}

    def bench(subject: Any, queue: Any, settings: Any, *rest: Any, **more: Any) -> Any:
        own["asked"].append((subject, settings))
        return own["row"]

    monkeypatch.setattr("clconv.bench.roofline.peaks", lambda queue: Peaks(91.0, 18.0))
    monkeypatch.setattr(networks, "bench_inference", bench)
    monkeypatch.setattr(layers_module, "bench_layer", lambda *args, **more: [bench(*args, **more)])
    monkeypatch.setattr(scaling, "bench_layer", lambda *args, **more: [bench(*args, **more)])
    return own


def check_width(text: str) -> None:
    """Tables stay within 120 columns, and nothing is cut off."""
    assert max(len(line.rstrip()) for line in text.splitlines() if not line.startswith("driver")) <= 120, text
    assert "…" not in text


def test_a_network_with_rivals_is_a_line_each(made_up) -> None:
    made_up["row"] = replace(made_up["row"], suite="network", text="lenet5, inference of 8 x 1 x 28 x 28", images=8)
    text = answer("network", "lenet5", "--batch", "2,8", "--against", "torch,onnxruntime,openvino")
    check_width(text)
    assert [subject.images for subject, _ in made_up["asked"]] == [2, 8]
    assert made_up["asked"][0][1].against == ("torch", "onnxruntime", "openvino")
    assert text.count("lenet5, inference of 8 x 1 x 28 x 28, 64.8 images/s") == 2
    for part in ("1.50x", "12.30x", "0.90x", "differs by 1e-06", "onnxruntime 1.32.0", "openvino: latency, f32, 2 threads", "12.30 s"):
        assert part in text, part
    assert "peak of the device, measured: 91.0 GFLOP/s, 18.0 GB/s read from memory" in text and "DISTURBED" not in text


def test_several_networks_are_compared_together(made_up) -> None:
    made_up["row"] = replace(made_up["row"], suite="network", text="lenet5, inference of 8 x 1 x 28 x 28", images=8)
    text = answer("network", "lenet5", "lenet5", "--against", "torch,openvino,onnxruntime")
    check_width(text)
    (last,) = [line for line in text.splitlines() if line.strip().startswith("geometric mean")]
    assert last.split() == ["geometric", "mean", "1.50x", "12.30x", "0.90x", "0.90x"]


def test_disturbed_rows_and_rivals_that_did_not_run_are_said_to_be_so(made_up) -> None:
    made_up["row"] = row(disturbed="5 % of processor time stolen by the host", rivals=(RivalRow("torch", reason="not today"),))
    text = answer("network", "lenet5", "--against", "torch")
    assert "DISTURBED, measure again: 5 % of processor time stolen by the host" in text
    assert "not run: see below" in text and "torch: not run: not today" in text


def test_layers_are_one_table(made_up) -> None:
    text = answer("layers", "--network", "lenet5", "--against", "torch,onnxruntime,openvino", "--cold")
    check_width(text)
    assert text.count(LONGEST.removeprefix("conv ")) == 4
    assert "torch 2.13.0+cpu, eager, 2 threads:\n  ratio 1.50 in the geometric mean, 1.50 at least, 1.50 of the sums;" in text
    assert all(settings.cold for _, settings in made_up["asked"])


def test_disturbed_layers_are_marked(made_up) -> None:
    made_up["row"] = row(disturbed="spread of clconv 0.30", spread=0.3)
    text = answer("layers", "--network", "lenet5")
    assert "30%!" in text and "! 4 of 4 rows are DISTURBED, measure them again; the first: spread of clconv 0.30" in text


def test_layers_of_a_file_say_what_was_left_out(made_up, tmp_path) -> None:
    path = tmp_path / "shapes.csv"
    path.write_text("problem\nconv n1c3i8x8k4f3x3\nconv n1c3i2x2k4f3x3\n")
    result = call("layers", "--file", str(path), "--batch", "5")
    assert result.exit_code == 0 and "left out: line 3: " in result.stderr
    assert [str(layer.problem) for layer, _ in made_up["asked"]] == ["conv n5c3i8x8k4f3x3"]


def test_scaling_prints_each_axis_and_draws(made_up, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    figure = tmp_path / "scaling.png"
    text = answer("scaling", "--over", "batch,size", "--figure", str(figure), "--against", "torch,onnxruntime,openvino")
    check_width(text)
    assert " batch " in text and " size " in text and " channels " not in text
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("error", [1.5, math.nan])
def test_a_wrong_result_ends_with_code_1_after_the_files(error: float, made_up, tmp_path) -> None:
    made_up["row"] = row(error=error)
    file = tmp_path / "rows.json"
    text = refusal("network", "lenet5", "--check", "--json", str(file), code=1)
    assert "wrong results: compiled is off by" in text and file.exists()


def test_a_rival_that_differs_ends_with_code_1(made_up) -> None:
    made_up["row"] = row(rivals=(replace(rivals(1.0)[0], error=0.02),))
    assert "torch differs by 2.0e-02 of the largest result in conv" in refusal("network", "lenet5", "--against", "torch", code=1)


def test_rows_are_drawn_under_the_roofline(made_up, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    figure = tmp_path / "roofline.svg"
    answer("network", "lenet5", "--plot", str(figure), "--csv", str(tmp_path / "rows.csv"))
    assert "<svg" in figure.read_text() and (tmp_path / "rows.csv").read_text().startswith("suite,text,")
    assert "is not supported" in refusal("network", "lenet5", "--plot", str(tmp_path / "roofline.doc"), code=1)


def test_without_matplotlib_drawing_says_what_to_install(made_up, tmp_path, monkeypatch) -> None:
    usual = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return usual(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    text = refusal("network", "lenet5", "--plot", str(tmp_path / "roofline.png"), code=1)
    assert "drawing needs matplotlib" in text and "`pip install matplotlib` installs it" in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("network",), "give a NETWORK, --onnx FILE or --light NAME"),
        (("network", "--light", " , "), "give a NETWORK, --onnx FILE or --light NAME"),
        (("network", "lenet5", "--without", "LRN"), "--without goes with --onnx and --light"),
        (("network", "--light", "resnet50", "--size", "64"), "--size goes with a NETWORK"),
        (("--light", "resnet50", "--size", "64"), "--size goes with a NETWORK"),
        (("--against", "torch"), "give a NETWORK, --onnx FILE or --light NAME"),
        (("network", "lenet5", "--batch", "1,x"), "'1,x' is not a list of whole numbers from 1 on, such as 1,8,32"),
        (("network", "lenet5", "--batch", "0"), "is not a list of whole numbers from 1 on"),
        (("network", "lenet5", "--against", "caffe"), "'caffe' is not a rival; rivals are torch, onnxruntime, openvino"),
        (("layers",), "give --network NAME or --file FILE"),
        (("layers", "--network", "lenet5", "--only", "x"), "--only goes with --file"),
        (("layers", "--network", "lenet5", "--own-layouts", "--against", "torch"), "--own-layouts is without rivals"),
        (("layers", "--network", "resnet99"), "'resnet99' is not a network"),
        (("scaling", "--over", "depth"), "'depth' is not one of batch, size, channels"),
        (("scaling", "maxpool n1c3i8x8f2x2"), "must be a convolution"),
        (("conv", "n1c3i8x8k4f3x3", "--params", "tile_w"), "tile_w is not name=value"),
        (("conv", "maxpool n1c3i8x8f2x2", "--pass", "bwd_w"), "pooling has no weights"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], message: str, made_up) -> None:
    assert message in refusal(*arguments)


@pytest.mark.parametrize("name", ["conv", "layers", "network", "scaling", "compare"])
def test_help_names_every_command_without_cutting_it_off(name: str) -> None:
    assert f"\n  {name} " in answer("--help") and "..." not in answer("--help").partition("Commands:")[2]


# Two files of rows


def files(folder: Path, before: list[Row], after: list[Row]) -> tuple[str, str]:
    write_json(before, folder / "a.json")
    write_json(after, folder / "b.json")
    return str(folder / "a.json"), str(folder / "b.json")


@pytest.mark.parametrize(
    "growth, options, code",
    [
        (1.00, ("--fail-over", "5%"), 0),
        (1.04, ("--fail-over", "5%"), 0),
        (1.06, ("--fail-over", "5%"), 1),
        (1.06, ("--fail-over", "5"), 1),
        (1.06, (), 0),
        (0.50, ("--fail-over", "0"), 0),
        (1.01, ("--fail-over", "0"), 1),
    ],
)
def test_the_exit_code_says_whether_a_row_became_slower(growth: float, options: tuple[str, ...], code: int, tmp_path) -> None:
    before, after = files(tmp_path, [row(ms=2.0), row("conv n1c3i8x8k4f3x3", 1.0)], [row(ms=2.0 * growth), row("conv n1c3i8x8k4f3x3", 1.0)])
    result = call("compare", before, after, *options)
    assert result.exit_code == code, result.output
    check_width(result.stdout)
    assert f"{growth - 1:+.1%}" in result.output and "2 rows, " in result.output
    assert ("SLOWER" in result.output) == (code == 1)
    if code:
        assert "1 of 2 rows became more than" in result.stderr


def test_rows_of_one_file_only_are_listed_and_disturbed_ones_marked(tmp_path) -> None:
    before, after = files(tmp_path, [row(), row("conv n1c3i8x8k4f3x3")], [row(disturbed="spread"), row("conv n1c3i9x9k4f3x3")])
    text = answer("compare", before, after)
    assert "only before: conv n1c3i8x8k4f3x3, compiled" in text and "only after: conv n1c3i9x9k4f3x3, compiled" in text
    assert "! was disturbed in one of the files" in text


def test_files_without_a_common_row_are_refused(tmp_path) -> None:
    before, after = files(tmp_path, [row()], [row(caches="cold")])
    assert "none of 1 rows is among the 1 others" in refusal("compare", before, after)


def test_comparing_needs_two_files_of_rows(tmp_path) -> None:
    (tmp_path / "text.json").write_text("hello")
    assert "not a file that" in refusal("compare", str(tmp_path / "text.json"), str(tmp_path / "text.json"))
    assert "does not exist" in refusal("compare", "none.json", "none.json")


def test_growth_is_of_the_same_measurement() -> None:
    (change,) = compare([row(ms=2.0)], [row(ms=3.0), row(algorithm="conv_direct")]).changes
    assert change.growth == pytest.approx(0.5)
    assert compare([row(ms=2.0)], [row(ms=3.0)]).slower(0.4) and not compare([row(ms=2.0)], [row(ms=3.0)]).slower(0.6)


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf", ""])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="give a percentage from 0 on"):
        parse_share(text)
