"""What is wrong, in plain words, and what to do about it: pure functions of what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clconv.doctor.findings import OUTCOMES, Examination, Verdict
from clconv.doctor.platforms import Survey
from clconv.doctor.surroundings import USUAL_FOLDER, Surroundings

PACKAGES = {
    "AMD": "ROCm's rocm-opencl-runtime (AMD's repository), or mesa-opencl-icd with RUSTICL_ENABLE=radeonsi",
    "Intel": "intel-opencl-icd",
    "NVIDIA": "nvidia-opencl-icd on Debian; on Ubuntu the driver brings it (libnvidia-compute-...)",
}
"""Debian's and Ubuntu's packages that bring a maker's OpenCL driver."""
POCL = "pip install 'clconv[pocl]' (or pip install pocl_binary_distribution) makes the processor a device, without a system package"
SLOW_WAIT_US = 1000.0


@dataclass(frozen=True)
class Advice:
    """`what` is the case, and what to `do`. Without `wrong` it is only worth knowing."""

    what: str
    do: str
    wrong: bool = True


def advice(survey: Survey, around: Surroundings, examined: Sequence[Examination] = ()) -> tuple[Advice, ...]:
    """All that was noticed, the worst first.

    >>> advice(Survey(), Surroundings("/etc/OpenCL/vendors", exists=False))[-1].what
    'no OpenCL driver is installed'
    """
    found = [
        *_listing(survey, around),
        *(each for examination in examined for each in _failures(examination)),
        *(each for examination in examined for each in _remarks(examination, survey)),
    ]
    found += [*_files(survey, around), *_nodes(survey, around)]
    if not survey.devices and not survey.trouble:
        found += _installation(around)
    return tuple(sorted(found, key=lambda each: not each.wrong))


def _listing(survey: Survey, around: Surroundings) -> Iterator[Advice]:
    """What the loader did instead of listing devices."""
    if survey.trouble == "import":
        yield Advice(
            f"pyopencl cannot be imported: {survey.detail}",
            "pip install --force-reinstall pyopencl: its wheel brings the loader; built from source it needs ocl-icd-libopencl1",
        )
    elif survey.trouble in ("crash", "hang"):
        how = "crashes" if survey.trouble == "crash" else "does not answer"
        files = ", ".join(icd.file for icd in around.icds) or "no .icd file"
        yield Advice(
            f"a driver {how} when it is asked for its devices ({survey.detail}); the loader reads {files}",
            f"find out which: copy one .icd file at a time from {around.folder} to an empty folder, set OCL_ICD_VENDORS to that, run "
            "clconv doctor again; then update or remove the driver at fault",
        )
    elif survey.trouble:
        yield Advice(f"the OpenCL loader cannot list its platforms: {survey.detail}", f"update the drivers; meanwhile, {POCL}")
    for platform in survey.platforms:
        if platform.error:
            yield Advice(f"{platform.name}, {platform.version}, cannot list its devices: {platform.error}", "update or remove this driver")


def _files(survey: Survey, around: Surroundings) -> Iterator[Advice]:
    """The files by which the loader finds drivers."""
    lacks = not survey.devices
    if around.variable and len(around.icds) == len(around.bundled):
        there = "has no .icd file" if around.exists else "is not there"
        yield Advice(
            f"{around.variable} points the loader to {around.folder}, which {there}: installed drivers are not seen",
            f"unset {around.variable}, or give it the folder with the .icd files (usually /{USUAL_FOLDER})",
            lacks,
        )
    for icd in around.icds:
        if icd.missing:
            what = f"{icd.file} names the driver {icd.library}, which is not there"
            yield Advice(what, "install the driver's package again, or remove the file", lacks)
        elif icd.error:
            what = f"{icd.file} names the driver {icd.library}, which does not load: {icd.error}"
            yield Advice(what, "install the library that it lacks, or name its folder in LD_LIBRARY_PATH", lacks)
    usable = [icd.file for icd in around.icds if not icd.missing and not icd.error]
    if lacks and usable and not survey.trouble:
        yield Advice(
            f"{', '.join(usable)} name drivers that are there, but no device comes of them",
            "look whether the hardware that they drive is in this machine and may be opened (below), and whether kernel and driver fit",
        )


def _nodes(survey: Survey, around: Surroundings) -> Iterator[Advice]:
    """Device nodes that this user may not open; cards without a node in a container."""
    lacks = not survey.devices
    closed = [node for node in around.nodes if not node.usable]
    if closed:
        groups = ",".join(dict.fromkeys(node.group for node in closed if node.group)) or "render,video"
        yield Advice(
            f"{', '.join(node.path for node in closed)} cannot be opened by this user, only by the group {groups.replace(',', ' or ')}",
            f"sudo usermod -aG {groups} $USER, then log out and in again; in a container, give it the group (--group-add)",
            lacks,
        )
    if around.cards and not around.nodes and around.in_container:
        yield Advice(
            f"there is a graphics card ({', '.join(around.cards)}), but no device node in this container",
            "start the container with --device /dev/dri (AMD: also --device /dev/kfd; NVIDIA: --gpus all)",
            lacks,
        )


def _installation(around: Surroundings) -> Iterator[Advice]:
    makers = around.cards or tuple(PACKAGES)
    packages = "; ".join(f"{maker}: {PACKAGES[maker]}" for maker in makers)
    what = "no OpenCL driver is installed" if not around.icds else "no OpenCL device was found"
    yield Advice(what, f"{POCL}; for a GPU install its maker's driver, on Debian and Ubuntu {packages}")


def _failures(examination: Examination) -> Iterator[Advice]:
    """What a device failed at, one piece of advice a kind of failure."""
    label, failed = examination.traits.label, examination.failures
    if failed and len(failed) == len(examination.verdicts) and len({verdict.outcome for verdict in failed}) == 1 and len(failed) > 1:
        first = failed[0]
        yield Advice(f"{label}: nothing works: every case {OUTCOMES[first.outcome]}; {excerpt(first)}", REMEDY[first.outcome])
        return
    for outcome in OUTCOMES:
        own = [verdict for verdict in failed if verdict.outcome == outcome]
        if own:
            names = ", ".join(f"{name} ({kinds})" for name, kinds in by_algorithm(own).items())
            yield Advice(f"{label}: {OUTCOMES[outcome]}: {names}; {excerpt(own[0])}", REMEDY[outcome])
    if examination.why:
        yield Advice(f"{label}: its speed cannot be measured: {examination.why}", REMEDY["opencl"])


REMEDY = {
    "wrong": "the driver's compiler makes wrong code: update the driver; until then clconv takes other algorithms. "
    "Send its maker the report (--report) and the kernel (clconv source)",
    "build": "the driver's compiler refuses or cannot compile the kernel: update the driver; until then clconv takes other algorithms",
    "opencl": "close other programs that use the device; if it stays, update the driver or take another device (--device)",
    "crash": "the driver is at fault: update it; until then clconv takes other algorithms, or take another device (--device)",
    "hang": "the driver is at fault, or the device is busy: try again on a quiet machine, then update the driver",
    "error": "this is clconv's fault: report it with --report, please",
}


def _remarks(examination: Examination, survey: Survey) -> Iterator[Advice]:
    """What a healthy device is to be known for."""
    traits, measured, label = examination.traits, examination.measured, examination.traits.label
    if measured and measured.disturbed:
        what = f"{label}: the speeds are doubtful: {measured.disturbed}"
        yield Advice(what, "measure again when the machine has nothing else to do", False)
    if measured and measured.wait_us > SLOW_WAIT_US:
        what = f"{label}: a launch and the wait for it take {measured.wait_us / 1000:.1f} ms"
        yield Advice(what, "small networks will be slow here: give large batches, look for power saving or a remote device", False)
    if any((device["name"], device["version"], device["fp16"]) == (traits.name, traits.driver, "no") for device in survey.devices):
        what = f"{label}: no fp16 arithmetic (cl_khr_fp16)"
        yield Advice(what, "nothing: float16 is stored as such everywhere and summed in float32; do not expect it to be faster", False)


def by_algorithm(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Algorithm -> the passes it failed, as "fwd, bwd_d, bwd_w float16"."""
    out: dict[str, list[str]] = {}
    for verdict in verdicts:
        out.setdefault(verdict.algorithm, []).append(verdict.kind + (" float16" if verdict.dtype == "float16" else ""))
    return {name: ", ".join(dict.fromkeys(kinds)) for name, kinds in out.items()}


def excerpt(verdict: Verdict) -> str:
    """The first case and the line of its detail that says most.

    >>> excerpt(Verdict("a case", "a", "fwd", "float32", "build", "kernel k does not build\\noptions: -w\\nx.cl:3:5: error: no such thing"))
    'for example a case: x.cl:3:5: error: no such thing'
    """
    lines = [line.strip() for line in verdict.detail.splitlines() if line.strip()] or [""]
    told = next((line for line in lines if "error:" in line.lower()), lines[0])
    return f"for example {verdict.case}: {told[:300]}"
