"""Devices, queues and traits, on the real devices and on made-up drivers."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pyopencl as cl
import pytest

from clconv.errors import DeviceError
from clconv.runtime import context

GPU, ACCELERATOR, CPU = cl.device_type.GPU, cl.device_type.ACCELERATOR, cl.device_type.CPU


def opencl_error(kind: type[cl.Error], code: int) -> cl.Error:
    return kind(cl._cl._ErrorRecord(msg="planted", code=code, routine="planted"))


class FakePlatform:
    """A platform with devices of the given (name, type); without devices, a broken one."""

    def __init__(self, name: str, *devices: tuple[str, int]) -> None:
        self.name, self.version = name, "OpenCL 1.2"
        self.devices = [SimpleNamespace(name=n, type=t, platform=self) for n, t in devices]

    def get_devices(self) -> list[SimpleNamespace]:
        if not self.devices:
            raise opencl_error(cl.RuntimeError, cl.status_code.DEVICE_NOT_AVAILABLE)
        return self.devices


@pytest.fixture
def three_platforms(monkeypatch):
    platforms = [
        FakePlatform("Processors Inc", ("Small CPU", CPU), ("Odd one", ACCELERATOR)),
        FakePlatform("Broken"),
        FakePlatform("Graphics Ltd", ("Big GPU", GPU), ("Bigger GPU", GPU)),
    ]
    monkeypatch.setattr(cl, "get_platforms", lambda: platforms)


@pytest.fixture
def no_driver(monkeypatch):
    def fail():
        raise opencl_error(cl.LogicError, cl.status_code.PLATFORM_NOT_FOUND_KHR)

    monkeypatch.setattr(cl, "get_platforms", fail)


def test_gpus_come_first_and_a_broken_platform_hides_nothing(three_platforms):
    assert [d.name for d in context.list_devices()] == ["Big GPU", "Bigger GPU", "Odd one", "Small CPU"]


@pytest.mark.parametrize(
    "name, found", [(None, "Big GPU"), ("bigger", "Bigger GPU"), ("PROCESSORS", "Odd one"), ("small cpu", "Small CPU")]
)
def test_find_device_by_part_of_a_name(three_platforms, name, found):
    assert context.find_device(name).name == found


def test_devices_whose_names_contain_each_other_and_versions_of_one_platform(monkeypatch):
    """One processor as three drivers name it."""
    old, new, other = (FakePlatform("Portable", ("cpu-Xeon", CPU)), FakePlatform("Portable", ("cpu-avx512-Xeon", CPU)),
                       FakePlatform("Intel", ("Xeon", CPU)))  # fmt: skip
    old.version, new.version = "OpenCL 3.0 PoCL 3.0-rc2", "OpenCL 3.0 PoCL 3.1+debian"
    monkeypatch.setattr(cl, "get_platforms", lambda: [new, old, other])
    for name, found in (("xeon", other), ("cpu-xeon", old), ("portable", new), ("PoCL 3.0", old), ("pocl 3.1", new), ("avx512", new)):
        assert context.find_device(name).platform is found, name


def test_an_unknown_name_is_answered_with_what_there_is(three_platforms):
    with pytest.raises(DeviceError) as caught:
        context.find_device("voodoo")
    message = str(caught.value)
    assert "'voodoo'" in message
    for there in ("Big GPU (Graphics Ltd)", "Odd one (Processors Inc)", "Small CPU (Processors Inc)"):
        assert there in message


@pytest.mark.parametrize("name", [None, "voodoo"])
def test_without_a_driver_the_error_says_what_to_install(no_driver, name):
    assert context.list_devices() == []
    with pytest.raises(DeviceError, match=r"no OpenCL device found.*pip install 'clconv\[pocl\]'"):
        context.default_queue(name)


def test_other_failures_of_the_loader_are_not_hidden(monkeypatch):
    def fail():
        raise opencl_error(cl.LogicError, cl.status_code.INVALID_VALUE)

    monkeypatch.setattr(cl, "get_platforms", fail)
    with pytest.raises(DeviceError, match="cannot list its platforms: .*INVALID_VALUE"):
        context.list_devices()


def test_a_device_has_one_queue_and_one_context():
    queue = context.default_queue()
    assert context.default_queue() is queue
    assert context.default_queue(queue.device.name) is queue
    assert queue.device == context.find_device()
    assert queue.context == context.context_for(queue.device)
    assert not queue.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE


def test_threads_that_ask_at_once_get_the_same_queue(monkeypatch):
    monkeypatch.setattr(context, "_queues", {})
    monkeypatch.setattr(context, "_contexts", {})
    start, queues = threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        queues.append(context.default_queue())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(queues) == 8
    assert len({id(queue) for queue in queues}) == 1


def test_traits_agree_with_the_driver():
    for device in context.list_devices():
        traits = context.traits_of(device)
        assert traits.name == device.name.strip()
        assert traits.compute_units == device.max_compute_units
        assert traits.buffer_alignment * 8 == device.mem_base_addr_align
        assert traits.driver.startswith(device.driver_version.strip())
        assert device.platform.version.strip() in traits.driver
        assert traits.is_cpu == bool(device.type & CPU)
        assert context.traits_of(device) is traits


def made_up_device(kind: int, width: int, platform: str = "Processors Inc", align: int = 1024) -> SimpleNamespace:
    values = {
        "name": "Made up ",
        "vendor": "nobody",
        "driver_version": "7",
        "type": kind,
        "native_vector_width_float": width,
        "max_compute_units": 3,
        "max_work_group_size": 64,
        "local_mem_size": 1 << 15,
        "global_mem_size": 3 << 30,
        "mem_base_addr_align": align,
        "max_clock_frequency": 900,
        "extensions": "cl_khr_fp64 cl_khr_byte_addressable_store",
        "platform": SimpleNamespace(name=platform, version="OpenCL 1.2"),
    }

    class Device(SimpleNamespace):
        __hash__ = object.__hash__  # devices are keys

    return Device(**values)


@pytest.mark.parametrize(
    "kind, native, simd, registers",
    [
        (CPU, 1, 4, 16),
        (CPU, 0, 4, 16),
        (CPU, 4, 4, 16),
        (CPU, 8, 8, 16),
        (CPU, 16, 16, 32),
        (CPU, 32, 16, 32),
        (GPU, 4, 1, 16),
        (ACCELERATOR, 16, 1, 16),
    ],
)
def test_simd_width(kind, native, simd, registers):
    traits = context.traits_of(made_up_device(kind, native))
    assert (traits.simd_width, traits.vector_registers) == (simd, registers)


def test_traits_carry_quirks_versions_and_bytes():
    traits = context.traits_of(made_up_device(CPU, 8, platform="Intel(R) OpenCL", align=512))
    assert not traits.keeps_context_alive
    assert traits.driver == "7 / OpenCL 1.2"
    assert traits.label == "Made up (Intel(R) OpenCL)"
    assert traits.buffer_alignment == 64


def test_description_for_people():
    assert context.describe(made_up_device(GPU, 1)) == {
        "name": "Made up",
        "platform": "Processors Inc",
        "version": "7 / OpenCL 1.2",
        "type": "GPU",
        "compute units": "3",
        "clock": "900 MHz",
        "global memory": "3.0 GiB",
        "local memory": "32 KiB",
        "simd width": "1",
        "fp16": "no",
        "fp64": "yes",
    }
    for device in context.list_devices():
        assert context.describe(device)["name"] == device.name.strip()
