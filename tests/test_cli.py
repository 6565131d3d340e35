"""The command line: what each command prints, and that every refusal is one readable message with exit code 2."""

from __future__ import annotations

import importlib.resources
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import clconv
from clconv.algorithms import for_problem
from clconv.bench.networks import Inference, named
from clconv.cli import COMMANDS, main
from clconv.nn import models
from clconv.problem import parse
from clconv.runtime import context
from tests.support import traits

CONV = "conv n1c3i8x8k4f3x3p1"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def answer(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*arguments: str, code: int = 2) -> str:
    """The message of a call that must fail, on the standard error stream and without a traceback."""
    result = call(*arguments)
    assert result.exit_code == code, (result.exit_code, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Error: " in result.stderr and "Traceback" not in result.output
    return result.stderr


def edited(folder: Path, template: str, first_lines: str) -> str:
    """A directory with one template that has `first_lines` put before it."""
    name = f"{template}.cl.mako"
    text = importlib.resources.files("clconv.kernels").joinpath(name).read_text()
    (folder / name).write_text(f"{first_lines}\n{text}")
    return str(folder)


# Help


def test_help_names_every_command_with_a_line() -> None:
    text = answer("--help")
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{line.split(':')[0][:30]}", text, re.M), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    text = answer(name, "--help")
    assert text.startswith(f"Usage: main {name}") and len(text.splitlines()) > 4


def test_help_imports_no_heavy_library() -> None:
    """0.3 s is the promise; what takes longer is never imported for it."""
    code = (
        "import sys\nfrom clconv.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('imported', sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'pyopencl', 'mako', 'rich', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported []"


def test_version() -> None:
    assert clconv.__version__ in answer("--version")


def test_an_unknown_command_is_refused() -> None:
    assert "No such command 'bake'" in refusal("bake")


# Devices


def test_devices_are_listed_with_their_traits() -> None:
    text = answer("devices")
    assert traits().name in text and traits().platform in text
    for what in ("compute units", "simd width", "local memory", "fp16"):
        assert what in text
    assert f"the default is {traits().name}" in text


def test_no_device_gives_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "list_devices", list)
    text = refusal("devices")
    assert "no OpenCL device found" in text and "pip install 'clconv[pocl]'" in text


@pytest.mark.parametrize("command", [("source", CONV), ("explain", CONV), ("explain", "lenet5"), ("bench", "conv", CONV)], ids=" ".join)
def test_an_unknown_device_is_refused_with_those_there_are(command: tuple[str, ...]) -> None:
    text = refusal(*command, "--device", "no such device")
    assert "no OpenCL device or platform has 'no such device' in its name" in text
    assert traits().name in text


# Source


@pytest.mark.parametrize(
    "text",
    [CONV, "n1c3i8k4f3", "deconv n1c8i5x5k4f4x4s2p1", "n2c8i8x8k8f3x3:bwd_w:f16", "maxpool n1c3i8x8f2x2:idx", "avgpool n1c3i8x8f2x2:bwd_d"],
)
def test_source_prints_the_kernels(text: str) -> None:
    out = answer("source", text)
    assert out.startswith(f"// {parse(text)}: ")
    launches = re.findall(r"^// launch (\w+): global \(", out, re.M)
    assert launches
    for entry in launches:
        assert re.search(rf"^#define {entry} {entry}_[0-9a-f]{{12}}$", out, re.M)
    assert out.count("__kernel") >= len(set(launches))


@pytest.mark.parametrize("algorithm", [a.name for a in for_problem(parse(CONV)) if a.why_not(parse(CONV), traits()) is None])
def test_source_of_a_named_algorithm(algorithm: str) -> None:
    head = answer("source", CONV, "--algorithm", algorithm).splitlines()[0]
    assert head == f"// {CONV}: {algorithm} on {traits().label}"
    assert answer("source", CONV, "--algorithm", algorithm.removeprefix("conv_")).splitlines()[0] == head


def test_an_unknown_algorithm_is_refused_with_those_there_are() -> None:
    text = refusal("source", CONV, "--algorithm", "magic")
    assert "algorithm 'magic' is not one of" in text and "conv_direct" in text


def test_an_edited_template_is_rendered(tmp_path: Path) -> None:
    folder = edited(tmp_path, "conv_direct", "// edited")
    arguments = ("source", CONV, "--algorithm", "conv_direct")
    assert "// edited" in answer(*arguments, "--kernels", folder)
    assert "// edited" not in answer(*arguments)


def test_a_broken_template_is_one_message_with_its_line(tmp_path: Path) -> None:
    folder = edited(tmp_path, "conv_direct", "// one\n// ${no_such_name}")
    text = refusal("source", CONV, "--algorithm", "conv_direct", "--kernels", folder)
    assert "template conv_direct.cl.mako at line 2: NameError: 'no_such_name' is not defined" in text


def test_a_directory_that_is_none_is_refused() -> None:
    assert "Directory 'nowhere' does not exist" in refusal("source", CONV, "--kernels", "nowhere")


@pytest.mark.parametrize(
    "text, part",
    [
        ("conv n1c3i8x8", "'f' is missing"),
        ("conv n1c3i2x2k4f3x3", "reaches over 3, but the input of 2"),
        ("n0c3i8x8k4f3x3", "a batch of 0 runs no kernel; give n at least 1"),
        ("n99999c999i999x999k999f3x3p1", "kernels address at most 2147483647; split the batch"),
    ],
)
@pytest.mark.parametrize("command", [("source",), ("explain",), ("bench", "conv")], ids=" ".join)
def test_problems_that_cannot_be_are_refused(command: tuple[str, ...], text: str, part: str) -> None:
    assert part in refusal(*command, text)


# Explain


def test_explain_names_every_algorithm() -> None:
    text = answer("explain", "conv n1c64i56x56k64f3x3p1+relu")
    assert "conv n1c64i56x56k64f3x3p1+relu on" in text and "115.61 million multiply-adds" in text
    for algorithm in for_problem(parse(CONV)):
        assert re.search(rf"^(chosen|not chosen|refused): {algorithm.name}\b", text, re.M), algorithm.name
    assert re.search(r"^    x: \(1, 64, 56, 56\), ", text, re.M)
    assert re.search(r"^    launch \w+: global \(", text, re.M)
    assert "(a model, not a measurement)" in text


def test_explain_gives_reasons_of_refusal() -> None:
    text = answer("explain", "conv n1c6i8x8k6f3x3g6")
    refusals = [line for line in text.splitlines() if line.startswith("refused: ")]
    expected = [(a.name, a.why_not(parse("n1c6i8x8k6f3x3g6"), traits())) for a in for_problem(parse(CONV))]
    assert refusals == [f"refused: {name}: {why}" for name, why in expected if why]


def test_explain_a_network() -> None:
    text = answer("explain", "lenet5", "--batch", "2")
    assert "conv1: conv n2c1i28x28k6f5x5p2+bias+relu" in text
    assert "fc3: matmul" in text and "memory: activations" in text


@pytest.mark.parametrize("command", [("explain",), ("summary",), ("bench", "network")], ids=" ".join)
def test_an_unknown_network_is_refused_with_those_there_are(command: tuple[str, ...]) -> None:
    text = refusal(*command, "resnet99")
    assert "'resnet99' is not a network; networks are" in text
    assert all(name in text for name in models.__all__)


def test_a_size_that_does_not_fit_the_network_is_refused() -> None:
    assert "a kernel of 5 with dilation 1 reaches over 5, but the input of 1" in refusal("explain", "lenet5", "--size", "3")


# Summary


def test_summary_needs_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "list_devices", list)
    text = answer("summary", "resnet18")
    assert "1,814,073,344" in text, "multiply-adds"
    assert f"{models.resnet18().parameter_count():,}" in text
    assert "1 x 1000" in text and "receptive field" in text


# Bench


def test_bench_times_and_checks_every_algorithm(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    text = answer("bench", "conv", CONV, "--algorithm", "all", "--check", "--json", str(file), "--repeats", "15")
    rows = json.loads(file.read_text())
    accepting = [a.name for a in for_problem(parse(CONV)) if a.why_not(parse(CONV), traits()) is None]
    assert [row["algorithm"] for row in rows] == accepting
    assert all(row["error"] <= 1 and row["text"] == CONV and row["driver"] == traits().driver for row in rows)
    for word in ("median ms", "spread", "GFLOP/s", "GB/s", "first run", traits().label, *accepting):
        assert word in text
    assert text.count("right, ") == len(rows)


def test_bench_of_pooling() -> None:
    text = answer("bench", "conv", "maxpool n1c3i8x8f2x2", "--check")
    assert "maxpool n1c3i8x8f2x2" in text and "right, 0.00 of the bound" in text


def test_a_wrong_result_fails_the_bench(tmp_path: Path) -> None:
    folder = edited(tmp_path, "pool_direct_forward", "#undef STORE\n#define STORE(p, i, v) ((p)[i] = (v) + 1.0f)")
    text = refusal("bench", "conv", "avgpool n1c3i8x8f2x2", "--algorithm", "direct", "--check", "--kernels", folder, code=1)
    assert "wrong results: pool_direct" in text


def test_few_repeats_are_refused() -> None:
    assert "3 is not in the range x>=15" in refusal("bench", "conv", CONV, "--repeats", "3")


def test_an_unwritable_file_is_refused_after_the_table(tmp_path: Path) -> None:
    text = refusal("bench", "conv", CONV, "--json", str(tmp_path / "no" / "rows.json"), code=1)
    assert "rows.json" in text and "No such file or directory" in text


def test_a_kernel_that_does_not_build_is_one_message(tmp_path: Path) -> None:
    folder = edited(tmp_path, "pool_direct_forward", "never_declared x;")
    text = refusal("bench", "conv", "avgpool n1c3i8x8f2x2", "--algorithm", "direct", "--kernels", folder)
    assert "template pool_direct_forward.cl.mako does not build on" in text and "never_declared" in text
    assert text.rstrip().endswith("reproduce: clconv source 'avgpool n1c3i8x8f2x2'")


def test_bench_of_a_network() -> None:
    text = answer("bench", "network", "lenet5", "--batch", "4")
    assert "lenet5, inference of 4 x 1 x 28 x 28, " in text and "images/s" in text
    assert "launches" in text and traits().label in text


def test_a_network_is_timed_as_it_becomes_or_as_it_begins(queue) -> None:
    asleep = traits().sleeps_between_launches
    becomes, begins = (Inference(named("lenet5", 4), queue, separate=separate).run for separate in (False, True))
    assert (becomes.launch_count == 1) == asleep and begins.launch_count > 1
    assert "--separate goes with inference" in refusal("bench", "network", "lenet5", "--train", "--separate")
