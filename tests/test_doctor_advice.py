"""What `clconv doctor` says about machines that are not here: made-up surroundings, surveys and findings; and what a report may hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clconv.device import DeviceTraits
from clconv.doctor import platforms, report
from clconv.doctor.advice import Advice, advice
from clconv.doctor.findings import OUTCOMES, Examination, Measured, Skipped, Verdict
from clconv.doctor.platforms import Device, Platform, Survey, of_text, take_survey
from clconv.doctor.surroundings import Icd, Node, Surroundings, look, with_load_errors

GPU = replace(DeviceTraits.gpu(), platform="Made-up Platform", driver="1.0 / OpenCL 1.2")
FACTS = (("name", GPU.name), ("version", GPU.driver), ("fp16", "no"))
WITH_DEVICE = Survey((Platform("Made-up Platform", "Maker", "OpenCL 1.2", (Device(FACTS),)),))
USUAL = Surroundings("/etc/OpenCL/vendors", icds=(Icd("gpu.icd", "libgpu.so", False),))
CLOSED = Node("/dev/dri/renderD128", "render", False)


def verdict(outcome: str = "ok", algorithm: str = "conv_gemm", kind: str = "fwd", detail: str = "") -> Verdict:
    return Verdict(f"{algorithm}, a problem", algorithm, kind, "float32", outcome, detail)


def texts(found: tuple[Advice, ...]) -> str:
    return "\n".join(f"{'WRONG' if each.wrong else 'note'}: {each.what}\n{each.do}" for each in found)


# Where there is no device


@pytest.mark.parametrize(
    ("survey", "around", "parts"),
    [
        (Survey(), Surroundings("/etc/OpenCL/vendors", exists=False), ["no OpenCL driver is installed", "pip install 'clconv[pocl]'",
         "intel-opencl-icd", "mesa-opencl-icd", "nvidia-opencl-icd"]),
        (Survey(), Surroundings("/x", "OCL_ICD_VENDORS"), ["OCL_ICD_VENDORS points the loader to /x, which has no .icd file", "unset OCL"]),
        (Survey(), Surroundings("/x", "OCL_ICD_VENDORS", exists=False), ["to /x, which is not there"]),
        (Survey(), replace(USUAL, icds=(Icd("gpu.icd", "/opt/libgpu.so", True),)), ["gpu.icd names the driver /opt/libgpu.so, which"]),
        (Survey(), replace(USUAL, nodes=(CLOSED, Node("/dev/kfd", "video", False))), ["/dev/dri/renderD128, /dev/kfd cannot be opened",
         "only by the group render or video", "sudo usermod -aG render,video $USER"]),
        (Survey(), replace(USUAL, nodes=(replace(CLOSED, usable=True),)), ["gpu.icd name drivers that are there, but no device comes"]),
        (Survey(), replace(USUAL, cards=("AMD",), in_container=True), ["graphics card (AMD), but no device node", "--device /dev/kfd"]),
        (Survey(trouble="import", detail="ImportError: libOpenCL.so.1"), USUAL, ["cannot be imported: ImportError: libOpenCL.so.1",
         "pip install --force-reinstall pyopencl"]),
        (Survey(trouble="crash", detail="code -11"), USUAL, ["a driver crashes when it is asked", "the loader reads gpu.icd", "OCL_ICD"]),
        (Survey(trouble="hang", detail="no list after 30 s"), USUAL, ["a driver does not answer when it is asked", "no list after 30 s"]),
        (Survey((Platform("P", "M", "V", (), "OUT_OF_HOST_MEMORY"),)), USUAL, ["P, V, cannot list its devices: OUT_OF_HOST_MEMORY"]),
    ],
)  # fmt: skip
def test_what_stands_between_a_user_and_a_device(survey: Survey, around: Surroundings, parts: list[str]) -> None:
    found = advice(survey, around)
    assert found and any(each.wrong for each in found)
    for part in parts:
        assert part in texts(found)


def test_a_known_card_gets_its_makers_package_alone() -> None:
    text = texts(advice(Survey(), replace(USUAL, icds=(), cards=("Intel",))))
    assert "intel-opencl-icd" in text and "mesa" not in text and "nvidia" not in text


def test_beside_a_device_they_are_notes() -> None:
    found = advice(WITH_DEVICE, replace(USUAL, nodes=(CLOSED,), icds=(*USUAL.icds, Icd("old.icd", "/opt/old.so", True))))
    assert "renderD128" in texts(found) and "old.icd" in texts(found) and not any(each.wrong for each in found)


# What a device fails at


def test_failures_are_told_by_their_kind_with_what_to_do() -> None:
    verdicts = (
        verdict(),
        verdict("wrong", "conv_direct", "bwd_d", "y[0, 1] is 5, should be 7; 1 of 2 elements are wrong"),
        verdict("wrong", "conv_direct", "bwd_w"),
        verdict("build", "pool_rows", "max fwd", "kernel pool_rows does not build\noptions: -w\nx.cl:3:5: error: no such thing"),
        verdict("crash", "map_strided", "all", "crashes: its process ended with code -11"),
    )
    text = texts(advice(WITH_DEVICE, USUAL, [Examination(GPU, verdicts, ())]))
    assert f"{GPU.label}: computes something else: conv_direct (bwd_d, bwd_w); for example conv_direct, a problem: y[0, 1] is 5" in text
    assert "makes wrong code: update the driver" in text
    assert "does not build: pool_rows (max fwd); for example pool_rows, a problem: x.cl:3:5: error: no such thing" in text
    assert "crashes the process: map_strided (all)" in text


def test_a_device_on_which_nothing_works_is_told_once() -> None:
    found = advice(WITH_DEVICE, USUAL, [Examination(GPU, tuple(verdict("build", name) for name in ("a", "b", "c")), ())])
    (wrong,) = (each.what for each in found if each.wrong)
    assert wrong == f"{GPU.label}: nothing works: every case does not build; for example a, a problem: "


@pytest.mark.parametrize("outcome", [outcome for outcome in OUTCOMES if outcome != "ok"])
def test_every_outcome_has_a_remedy(outcome: str) -> None:
    (found,) = (each for each in advice(WITH_DEVICE, USUAL, [Examination(GPU, (verdict(), verdict(outcome)), ())]) if each.wrong)
    assert len(found.do.split()) > 5


def test_what_is_worth_knowing_of_a_healthy_device() -> None:
    measured = Measured(100.0, 10.0, 5.0, 2500.0, "20 % of processor time taken by other programs")
    found = advice(WITH_DEVICE, USUAL, [Examination(GPU, (verdict(),), (), measured)])
    text = texts(found)
    assert "no fp16 arithmetic" in text and "a launch and the wait for it take 2.5 ms" in text and "speeds are doubtful: 20 %" in text
    assert not any(each.wrong for each in found)


# What the system says


def test_files_nodes_and_cards_are_found(tmp_path: Path) -> None:
    def put(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    put("etc/OpenCL/vendors/amd.icd", "libamdocl64.so\n")
    put("etc/OpenCL/vendors/old.icd", f"{tmp_path}/none.so\n")
    put("package/.libs/pocl.icd", "libpocl.so\n")
    put("dev/dri/renderD128", "")
    put("sys/class/drm/card0/device/vendor", "0x1002\n")
    put("sys/class/drm/card1/device/vendor", "0x1234\n")
    found = look(tmp_path, {}, tmp_path / "package")
    assert [(icd.file, icd.missing) for icd in found.icds] == [("amd.icd", False), ("old.icd", True), ("pocl.icd", False)]
    assert found.bundled == ("pocl.icd",) and found.cards == ("AMD",) and found.variable == "" and found.exists
    (node,) = found.nodes
    assert node.path.endswith("dev/dri/renderD128") and node.usable and node.group
    elsewhere = look(tmp_path, {"OCL_ICD_VENDORS": str(tmp_path / "nowhere")}, tmp_path / "package")
    assert elsewhere.variable == "OCL_ICD_VENDORS" and not elsewhere.exists and [icd.file for icd in elsewhere.icds] == ["pocl.icd"]


def test_a_driver_that_does_not_load_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "broken.so").write_text("no library")
    icds = Icd("broken.icd", str(tmp_path / "broken.so"), False), Icd("old.icd", "/none.so", True), Icd("pocl.icd", "libpocl.so", False)
    found = with_load_errors(Surroundings("/etc/OpenCL/vendors", icds=icds, bundled=("pocl.icd",)))
    assert [bool(icd.error) for icd in found.icds] == [True, False, False] and "broken.so" in found.icds[0].error
    assert f"broken.icd names the driver {tmp_path}/broken.so, which does not load: {found.icds[0].error}" in texts(advice(Survey(), found))


def test_the_survey_survives_what_drivers_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endings = {
        "import os; os.kill(os.getpid(), 11)": ("crash", "code -11"),
        "import time; time.sleep(60)": ("hang", "no list after 0.5 s"),
        "raise ImportError('libOpenCL.so.1: no such file')": ("import", "ImportError: libOpenCL.so.1: no such file"),
        "raise RuntimeError('no memory')": ("error", "RuntimeError: no memory"),
    }
    for code, (trouble, detail) in endings.items():
        monkeypatch.setattr(platforms, "COMMAND", code)
        found = take_survey(patience=0.5 if trouble == "hang" else 240)
        assert (found.trouble, found.detail) == (trouble, detail)
    assert of_text("no json").trouble == "error" and of_text('[{"name": 1}]').trouble == "error"


def test_without_pyopencls_library_there_is_advice(tmp_path: Path) -> None:
    (tmp_path / "pyopencl").mkdir()
    (tmp_path / "pyopencl" / "__init__.py").write_text("raise ImportError('libOpenCL.so.1: cannot open shared object file')\n")
    command = [sys.executable, "-c", "from clconv.cli import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "pyopencl cannot be imported: ImportError: libOpenCL.so.1" in " ".join(done.stdout.split())


# The report


def test_a_report_holds_nothing_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home, private = "/home/marvin", report.Private("/home/marvin", ("marvin", "heartofgold.example.org", "heartofgold"))
    monkeypatch.setenv("SECRET_TOKEN", "paranoid-android")
    log = (
        f"marvin@heartofgold: {home}/.cache/pocl/x.cl:3:5: error: in /srv/her stuff/secret-project/k.cl and /usr/lib/libOpenCL.so\n"
        "C:\\Users\\marvin\\secret-project\\x.cl, heartofgold.example.org"
    )
    verdicts = verdict("build", detail=log), verdict("crash", detail=f"ended in {home}/a/secret-project/b.py")
    survey = Survey((replace(WITH_DEVICE.platforms[0], error=log),), "error", log)
    around = Surroundings(f"{home}/vendors", "OCL_ICD_VENDORS", icds=(Icd("gpu.icd", f"{home}/secret-project/lib.so", True),))
    examined = [Examination(GPU, verdicts, (Skipped("x", log),), None, log)]
    content = report.report(survey, around, examined, advice(survey, around, examined), private)
    file = tmp_path / "report.json"
    report.write(content, file)
    text = file.read_text()
    assert json.loads(text) == content
    for word in ("marvin", "heartofgold", "secret-project", "paranoid-android", "SECRET_TOKEN", "/home", "/srv"):
        assert word not in text, word
    for word in ("x.cl:3:5: error", "/usr/lib/libOpenCL.so", GPU.name, GPU.driver, "conv_gemm"):
        assert word in text, word


def test_this_machines_own_names_are_known() -> None:
    found = report.Private.here()
    assert found.home == str(Path.home()) and Path.home().name in found.names
    assert found.removed(f"see {Path.home()}/a/b.txt") == "see .../b.txt"
