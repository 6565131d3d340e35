"""Devices, their traits, and the one queue per device that the library makes when the caller brings none."""

from __future__ import annotations

import threading
from functools import cache

import pyopencl as cl

from clconv.device import DeviceTraits, apply_quirks
from clconv.errors import ArrayError, DeviceError

ADVICE = (
    "install the vendor's OpenCL driver, or `pip install 'clconv[pocl]'` for one that runs on the processor; "
    "`clconv doctor` looks for what is wrong"
)
BUSY = "another program may hold the device, or its driver is broken; clconv.default_queue(name) takes another of `clconv devices`"
SIMD_WIDTHS = (16, 8, 4)
SUB_GROUPS = {"cl_intel_subgroups", "cl_intel_required_subgroup_size"}
SUB_GROUP_SIZES = (8, 16, 32)
"""What drivers with these extensions take, but for rows of QUIRKS: PyOpenCL does not ask for CL_DEVICE_SUB_GROUP_SIZES_INTEL."""

_lock = threading.Lock()
# The contexts are held here for the life of the process: on some drivers a queue does not keep its context alive.
_contexts: dict[cl.Device, cl.Context] = {}
_queues: dict[cl.Device, cl.CommandQueue] = {}


def list_devices() -> list[cl.Device]:
    """All devices of all platforms: GPUs first, then accelerators, then CPUs; empty when no OpenCL driver is installed.

    A platform that fails when asked for its devices is left out, so that one broken driver does not hide the others.

    >>> [device.name for device in list_devices()]  # doctest: +SKIP
    ['pthread-AMD EPYC']
    """
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        if error.code == cl.status_code.PLATFORM_NOT_FOUND_KHR:
            return []
        raise DeviceError(f"the OpenCL loader cannot list its platforms: {error}; {ADVICE}") from error
    devices: list[tuple[int, cl.Device]] = []
    for platform in platforms:
        try:
            devices.extend((_rank(device), device) for device in platform.get_devices())
        except cl.Error:
            continue
    return [device for _, device in sorted(devices, key=lambda pair: pair[0])]


def _rank(device: cl.Device) -> int:
    order = (cl.device_type.GPU, cl.device_type.ACCELERATOR, cl.device_type.CPU)
    return next((i for i, kind in enumerate(order) if device.type & kind), len(order))


def find_device(name: str | None = None) -> cl.Device:
    """The first device called `name`, or else with `name` in its own or its platform's name, or else in its platform's version, upper and
    lower case alike; without a name, the first of all.

    Raises DeviceError with the devices there are, or with what to install when there is none.

    >>> find_device("epyc").name  # doctest: +SKIP
    'pthread-AMD EPYC'
    """
    devices = list_devices()
    if not devices:
        raise DeviceError(f"no OpenCL device found{f' (asked for {name!r})' if name else ''}: {ADVICE}")
    if name is None:
        return devices[0]
    if not isinstance(name, str):
        raise DeviceError(f"a device is chosen by a part of its name, got {name!r}; `clconv devices` lists them")
    part = name.lower()
    # A processor may be a device of several platforms, whose names of it contain each other; and of two versions of one platform.
    for fits in (
        lambda device: device.name.strip().lower() == part.strip(),
        lambda device: part in device.name.lower() or part in device.platform.name.lower(),
        lambda device: part in device.platform.version.lower(),
    ):
        if found := next(filter(fits, devices), None):
            return found
    there = "\n".join(f"  {device.name.strip()} ({device.platform.name.strip()})" for device in devices)
    raise DeviceError(f"no OpenCL device or platform has {name!r} in its name; give a part of one of these:\n{there}")


def context_for(device: cl.Device) -> cl.Context:
    """The library's one context of `device`, made at the first call."""
    with _lock:
        return _context(device)


def _context(device: cl.Device) -> cl.Context:
    if device not in _contexts:
        try:
            _contexts[device] = cl.Context([device])
        except cl.Error as error:
            raise DeviceError(f"{device.name.strip()}: cannot make an OpenCL context: {error}; {BUSY}") from error
    return _contexts[device]


def default_queue(name: str | None = None) -> cl.CommandQueue:
    """The library's in-order queue of the device that `find_device(name)` finds: the same object at every call. Never prompts.

    >>> default_queue() is default_queue()
    True
    """
    return _queue(find_device(name))


def queue_like(traits: DeviceTraits) -> cl.CommandQueue:
    """The library's queue of the first device with exactly these traits: the device that another process speaks of.

    >>> queue_like(traits_of(find_device())) is default_queue()
    True
    """
    for device in list_devices():
        if traits_of(device) == traits:
            return _queue(device)
    raise DeviceError(f"no OpenCL device here is {traits.identity} with driver {traits.driver}; parts of a device cannot be named")


def _queue(device: cl.Device) -> cl.CommandQueue:
    with _lock:
        if device not in _queues:
            context = _context(device)
            try:
                _queues[device] = cl.CommandQueue(context, device)
            except cl.Error as error:
                raise DeviceError(f"{device.name.strip()}: cannot make a command queue: {error}; {BUSY}") from error
        return _queues[device]


def device_of(queue: object) -> cl.Device:
    """The device of a queue that a caller hands in."""
    if not isinstance(queue, cl.CommandQueue):
        raise ArrayError(f"queue: expected a pyopencl.CommandQueue, got {type(queue).__name__}; clconv.default_queue(name) finds one")
    return queue.device


@cache
def traits_of(device: cl.Device) -> DeviceTraits:
    """What algorithms may know of `device`, quirks applied. Asked of the driver once."""
    is_cpu = bool(device.type & cl.device_type.CPU)
    native = device.native_vector_width_float
    simd = next((width for width in SIMD_WIDTHS if width <= native), SIMD_WIDTHS[-1]) if is_cpu else 1
    platform = device.platform
    return apply_quirks(
        DeviceTraits(
            name=device.name.strip(),
            vendor=device.vendor.strip(),
            platform=platform.name.strip(),
            driver=f"{device.driver_version.strip()} / {platform.version.strip()}",
            is_cpu=is_cpu,
            compute_units=device.max_compute_units,
            max_work_group_size=device.max_work_group_size,
            simd_width=simd,
            local_memory_bytes=device.local_mem_size,
            global_memory_bytes=device.global_mem_size,
            buffer_alignment=max(1, device.mem_base_addr_align // 8),
            vector_registers=32 if simd == 16 else 16,
            sub_group_sizes=SUB_GROUP_SIZES if set(device.extensions.split()) >= SUB_GROUPS else (),
        )
    )


def describe(device: cl.Device) -> dict[str, str]:
    """What a person wants to know of `device`, in the order of printing.

    >>> describe(find_device())["simd width"]  # doctest: +SKIP
    '8'
    """
    traits = traits_of(device)
    kinds = {cl.device_type.GPU: "GPU", cl.device_type.ACCELERATOR: "accelerator", cl.device_type.CPU: "CPU"}
    extensions = device.extensions.split()
    return {
        "name": traits.name,
        "platform": traits.platform,
        "version": traits.driver,
        "type": next((text for kind, text in kinds.items() if device.type & kind), "other"),
        "compute units": str(traits.compute_units),
        "clock": f"{device.max_clock_frequency} MHz",
        "global memory": f"{traits.global_memory_bytes / 2**30:.1f} GiB",
        "local memory": f"{traits.local_memory_bytes // 2**10} KiB",
        "simd width": str(traits.simd_width),
        "fp16": "yes" if "cl_khr_fp16" in extensions else "no",
        "fp64": "yes" if "cl_khr_fp64" in extensions else "no",
    }
