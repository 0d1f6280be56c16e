"""The filters of system calls, step by step: they let through what closed.yaml allows."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import forge_gpu
from tools.make_filters import make, text_of

FOLDER = Path(forge_gpu.__file__).parent / "sandbox" / "filters"
CLOSED: dict[str, Any] = YAML(typ="safe").load(FOLDER / "closed.yaml")
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
ARCHITECTURES = sorted(CLOSED["architectures"])
DANGEROUS = (
    "open openat creat stat execve fork vfork clone clone3 socket connect kill tgkill ptrace memfd_create "
    "pipe2 dup mount unshare bpf io_uring_setup prctl seccomp prlimit64 ioctl setuid newfstatat getdents64 "
    "chdir shmget"
)


def answer(program: Sequence[Sequence[int]], number: int, audit: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel does of a call: the program run as seccomp(2) says."""
    data = number.to_bytes(4, "little") + audit.to_bytes(4, "little") + bytes(8)
    data += b"".join(value.to_bytes(8, "little") for value in [*arguments, *[0] * 6][:6])
    at = accumulator = 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = int.from_bytes(data[operand : operand + 4], "little")
            case 0x15:
                at += yes if accumulator == operand else no
            case 0x25:
                at += yes if accumulator > operand else no
            case 0x35:
                at += yes if accumulator >= operand else no
            case 0x54:
                accumulator &= operand
            case 0x05:
                at += operand
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"a step of code {code:#x}")


@pytest.fixture(params=ARCHITECTURES)
def held(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"{request.param}.json").read_text())
    return read


def test_the_files_are_what_the_script_makes() -> None:
    for architecture in ARCHITECTURES:
        assert (FOLDER / f"{architecture}.json").read_text() == text_of(make(architecture, CLOSED)), (
            architecture
        )


def test_every_number_but_the_allowed_is_refused(held: dict[str, Any]) -> None:
    allowed, restricted = set(held["allowed"].values()), {rule["number"] for rule in held["restricted"]}
    assert len(allowed) > 35 and not allowed & restricted
    for number in range(1024):
        expected = ALLOW if number in allowed else REFUSE
        assert answer(held["program"], number, held["audit"], [0, 2**32 + 5]) == expected, number


def test_a_restricted_call_has_its_arguments_compared_whole(held: dict[str, Any]) -> None:
    for rule in held["restricted"]:
        for value in range(2048):
            arguments = [0] * rule["argument"] + [value]
            expected = ALLOW if value in rule["values"] else REFUSE
            assert answer(held["program"], rule["number"], held["audit"], arguments) == expected
            high = [0] * rule["argument"] + [value + 2**32]
            assert answer(held["program"], rule["number"], held["audit"], high) == REFUSE


def test_other_architectures_end_the_process(held: dict[str, Any]) -> None:
    for audit in (0x40000003, 0x40000028, 0xC000003E, 0xC00000B7, 0):
        if audit != held["audit"]:
            assert answer(held["program"], 0, audit) == KILL
    if held["audit"] == 0xC000003E:  # x32 has numbers of its own
        for number in range(2**30, 2**30 + 600):
            assert answer(held["program"], number, held["audit"]) != ALLOW


def test_nothing_that_reaches_out_is_allowed(held: dict[str, Any]) -> None:
    assert not set(DANGEROUS.split()) & set(held["allowed"])
    assert set(held["allowed"]) <= set(CLOSED["allowed"])
