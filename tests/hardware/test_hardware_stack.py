from importlib import metadata

import pytest

from forge_gpu.hardware.describe import describe, describe_stack
from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.hardware.probe import probe
from forge_gpu.hardware.stack import (
    Stack,
    forget_starts,
    installed,
    read_stack,
    start_stack,
    start_stack_once,
)


def gpus(driver: str | None, capability: tuple[int, int] | None) -> GPUs:
    return GPUs((GPU(0, "a GPU", "GPU-1", None, capability, 2**34, 2**34, 0),), 0, driver)


def nothing(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("driver", "capability", "extra"),
    [
        ("580.65.06", (9, 0), "cu13"),
        ("610.1", (12, 0), "cu13"),
        ("580.65.06", (7, 0), "cu12"),  # Volta is no longer in CUDA 13
        ("535.104", (8, 0), "cu12"),
        ("579.99", (8, 0), "cu12"),
        ("525.60", (8, 0), None),
        ("580.65.06", (6, 1), None),
        (None, None, "cu13"),
    ],
)
def test_the_extra_that_driver_and_gpu_can_run(driver, capability, extra):
    stack = read_stack(gpus(driver, capability), nothing)
    assert stack.extra == extra
    assert (stack.reason is None) is (extra is not None)
    expected = f"pip install 'forge-gpu[{extra}]'" if extra else None
    assert stack.install_command == expected


def test_without_a_gpu_the_command_depends_on_the_one_to_come():
    stack = read_stack(GPUs(), nothing)
    assert stack.install_command is None
    lines = describe_stack(stack, None)
    assert any("cannot be used" in line for line in lines)
    assert any("driver 535" in line and line.endswith("pip install 'forge-gpu[cu12]'") for line in lines)


def test_either_build_of_a_library_counts():
    def version(name: str) -> str:
        return {"cudf-cu13": "26.10.2", "cupy-cuda12x": "14.2.0"}.get(name) or nothing(name)

    result = installed(version)
    assert (result["cudf"], result["cupy"], result["rmm"]) == ("26.10.2", "14.2.0", None)


def test_doctor_names_the_command_for_what_is_missing():
    stack = Stack({"cudf": None, "cupy": "14.2.0"}, "cu12", None)
    assert "install it with: pip install 'forge-gpu[cu12]'" in describe_stack(stack, None)


def test_doctor_mends_a_stack_that_does_not_start():
    stack = Stack({"cudf": "26.10.2"}, "cu13", None)
    lines = describe_stack(stack, "the GPU libraries do not start: boom")
    assert "the GPU libraries do not start: boom" in lines
    assert any("--force-reinstall" in line for line in lines)


@pytest.mark.parametrize(
    ("code", "reported"),
    [
        ("pass", None),
        ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import time; time.sleep(60)", "did not start within"),
    ],
)
def test_a_broken_stack_takes_nothing_down(code, reported):
    fault = start_stack(code, timeout=5.0 if "sleep" not in code else 0.2)
    assert (fault is None) if reported is None else (fault is not None and reported in fault)


def test_a_probe_that_fails_is_a_line(tmp_path, monkeypatch):
    def broken(*arguments):
        raise OSError("no /proc here")

    monkeypatch.setattr("forge_gpu.hardware.probe.read_memory", broken)
    result = probe(tmp_path)
    assert result.memory is None
    assert any("memory could not be read" in line for line in describe(result))


def test_a_stack_without_dask_cuda_runs_engines():
    stack = Stack({"cudf": "26.10.2", "dask-cuda": None}, "cu13", None)
    assert stack.missing == [] and stack.absent == ["dask-cuda"]
    lines = describe_stack(stack, None)
    assert "the GPU libraries start" in lines and "not installed: dask-cuda" in lines
    assert "dask-cuda is for --workers on GPUs alone: pip install 'forge-gpu[cu13]'" in lines


def test_what_has_started_is_not_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_RATES", str(tmp_path / "rates.json"))
    faults = iter(["boom", None, None, None, None])
    asked: list[str | None] = []

    def start() -> str | None:
        asked.append(next(faults))
        return asked[-1]

    here, stack = gpus("580.1", (9, 0)), Stack({"cudf": "26.10.2"}, "cu13", None)
    assert start_stack_once(here, stack, start) == "boom", "a fault is not kept"
    assert start_stack_once(here, stack, start) is None
    assert start_stack_once(here, stack, never) is None
    start_stack_once(gpus("590.1", (9, 0)), stack, start)
    start_stack_once(here, Stack({"cudf": "26.12.0"}, "cu13", None), start)
    assert len(asked) == 4, "another driver and another version are tried"
    forget_starts()
    start_stack_once(here, stack, start)
    assert len(asked) == 5


def never() -> str | None:
    raise AssertionError("it has started before")
