"""The library of all kernels: that it is used, is what numba compiles, and is loaded only where it fits."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from forge_gpu.container.levels import environment
from forge_gpu.kernels import ahead, build, compiled
from forge_gpu.kernels.cache import KERNELS, cache_folder, sources
from forge_gpu.kernels.jit import OPTIONS
from tests.job import jobs

LIBRARY = compiled.LIBRARY
needs_library = pytest.mark.skipif(
    LIBRARY is None and "FORGE_REQUIRE_CC" not in os.environ, reason="needs `forge warm` and a linker"
)
AARCH64 = 183
"""Of an ELF file's header: what machine it is for."""
JOB = """
import sys, forge_gpu
forge_gpu.prepare(sys.argv[1], output=sys.argv[2])
print("numba" in sys.modules)
"""


def run(code: str, *arguments: Path | str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_library
def test_a_job_needs_no_numba_and_gives_what_numbas_kernels_give(tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("w") as file:
        for i in range(300):
            turns = ("user", f"q\\n{i % 7} é"), ("assistant", "a" * i)
            row = {"messages": [{"role": role, "content": content} for role, content in turns]}
            file.write(json.dumps(row) + "\n")
    plan = {
        "version": 1,
        "data": {"inputs": ["rows.jsonl"], "mapping": {"shape": "conversation", "messages": "messages"}},
        "model": {"chat_template": "chatml", "template_kind": "builtin"},
        "preprocessing": {"dedup": {"near": {}}},
    }
    (tmp_path / "forge.yaml").write_text(json.dumps(plan))
    imported = [
        run(JOB, tmp_path / "forge.yaml", tmp_path / name, FORGE_KERNELS=name) for name in ("library", "jit")
    ]
    assert imported == ["False\n", "True\n"]
    one, other = (jobs.content(tmp_path / name) for name in ("library", "jit"))
    assert one == other


@needs_library
def test_it_has_all_kernels_and_calls_nothing_but_the_c_library() -> None:
    assert LIBRARY is not None
    names = {
        f"{path.stem}.{function.split('(')[0]}"
        for path in Path(KERNELS, "cpu").glob("*.py")
        for function in path.read_text().split("@kernel\ndef ")[1:]
    }
    assert set(LIBRARY.table) == names
    assert all(getattr(LIBRARY.opened, ahead.symbol(name)) for name in names)


@needs_library
def test_a_library_for_another_processor_is_made_from_its_table() -> None:
    """What calls said of each kernel, as types and back."""
    assert LIBRARY is not None
    for called in LIBRARY.table.values():
        kinds = [build._type(kind) for kind in called["arguments"]]
        assert [build._spelled(kind) for kind in kinds] == called["arguments"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that fits, where the cache is."""
    monkeypatch.setattr(ahead, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(ahead, "CHECKED", False)
    monkeypatch.delenv("FORGE_KERNELS", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: path)
    (tmp_path / ahead.LIBRARY).write_bytes(b"machine code")
    write_table(tmp_path)
    return tmp_path


def write_table(folder: Path, **changed: Any) -> None:
    digest = hashlib.sha256(b"machine code").hexdigest()
    table = {"sources": sources(), "digest": digest, "machine": build.HERE, "features": [], "kernels": {}}
    (folder / ahead.TABLE).write_text(json.dumps(table | changed))


def test_one_that_fits_is_found(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ahead.library()
    assert found is not None and found.path == made / ahead.LIBRARY
    monkeypatch.setenv("FORGE_KERNELS", "jit")
    assert ahead.library() is None
    monkeypatch.delenv("FORGE_KERNELS")
    monkeypatch.setattr(ahead, "CHECKED", True)
    assert ahead.library() is None


@pytest.mark.parametrize(
    "changed",
    [
        {"sources": "others"},
        {"digest": "another"},
        {"machine": "another"},
        {"features": ["an_instruction_of_tomorrow"]},
    ],
)
def test_one_that_does_not_fit_is_left_alone(made: Path, changed: dict[str, Any]) -> None:
    write_table(made, **changed)
    assert ahead.library() is None


@pytest.mark.parametrize("content", [b"", b"machine cod", b"machine c0de"])
def test_a_damaged_one_is_left_alone(made: Path, content: bytes) -> None:
    (made / ahead.LIBRARY).write_bytes(content)
    assert ahead.library() is None


def test_one_that_this_process_cannot_open_is_left_alone(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(ahead, "cache_folder", lambda: made)
    monkeypatch.setattr(ahead, "KERNELS", made)
    assert ahead.library() is None


@pytest.mark.parametrize("table", [b"", b"{", b"\xff", b"[]", b"{}"])
def test_a_damaged_table_is_none(made: Path, table: bytes) -> None:
    (made / ahead.TABLE).write_bytes(table)
    assert ahead.library() is None


def test_a_wheels_is_used_where_the_cache_has_none(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = made / "package" / "ahead" / "a-level"
    shipped.mkdir(parents=True)
    for name in (ahead.LIBRARY, ahead.TABLE):
        (made / name).rename(shipped / name)
    monkeypatch.setattr(ahead, "KERNELS", made / "package")
    found = ahead.library()
    assert found is not None and found.path == shipped / ahead.LIBRARY


def test_features_are_whole_words_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "own_processor", lambda: ("flags\t\t: fpu avx2", "model\t: 1"))
    assert ahead.has_features(["fpu", "avx2"]) and not ahead.has_features(["avx"])


def emitted(tmp_path: Path, function: Any, *arguments: Any) -> Any:
    """A kernel of the test's own, from a library of its own."""
    dispatcher = numba.njit(**OPTIONS)(function)
    dispatcher(*arguments)
    spelled = build._emit("test.own", dispatcher, tmp_path)
    build._link([tmp_path / "test.own.o"], tmp_path / "own.so")
    return ahead._Kernel(ctypes.CDLL(str(tmp_path / "own.so")).forge_test_own, **spelled)


@pytest.mark.skipif(build.linker() is None and "FORGE_REQUIRE_CC" not in os.environ, reason="needs a linker")
class TestCalls:
    def test_arguments_and_results_of_every_kind(self, tmp_path: Path) -> None:
        def kernel(pair, is_odd, values, rows):
            (address, size), count = pair
            values[0] += count
            return size + rows[1, 0], address, is_odd, values[0] * 0.5

        values, rows = np.ones(1, np.int64), np.array([[1, 2], [3, 4]], np.int32)
        arguments = ((np.uint64(2**64 - 1), 5), 7), True, values, rows
        own = emitted(tmp_path, kernel, *arguments)
        values[0] = 1
        assert own(*arguments) == (8, 2**64 - 1, True, 4.0)
        assert values[0] == 8

    def test_other_arrays_than_it_was_compiled_for_are_refused(self, tmp_path: Path) -> None:
        def kernel(values):
            return values[0]

        own = emitted(tmp_path, kernel, np.ones(2, np.int64))
        assert own(np.ones(1, np.int64)) == 1
        frozen = np.ones(1, np.int64)
        frozen.flags.writeable = False
        assert own(frozen) == 1
        for wrong in (np.ones(1, np.int32), np.ones((1, 1), np.int64), np.ones(4, np.int64)[::2]):
            with pytest.raises(TypeError, match="a kernel takes"):
                own(wrong)
        with pytest.raises(ValueError):
            own()

    def test_what_makes_memory_of_its_own_is_refused(self, tmp_path: Path) -> None:
        def kernel(count):
            return np.ones(count).sum()

        with pytest.raises(RuntimeError, match=r"test\.own calls .*NRT_"):
            emitted(tmp_path, kernel, 3)

    def test_two_kinds_of_arguments_are_refused(self, tmp_path: Path) -> None:
        def kernel(values):
            return values[0]

        dispatcher = numba.njit(**OPTIONS)(kernel)
        dispatcher(np.ones(1, np.int64))
        dispatcher(np.ones((1, 1), np.int64))
        with pytest.raises(RuntimeError, match="2 kinds of arguments"):
            build._emit("test.own", dispatcher, tmp_path)


OF_ARM = """
import json, sys
from pathlib import Path
from forge_gpu.kernels.cross import aim_at
aim_at("aarch64")
from forge_gpu.kernels import build
from forge_gpu.kernels.cpu import messages
name, arguments = "messages._scan_messages", json.loads(sys.argv[2])
build.KERNELS[name].compile(tuple(build._type(kind) for kind in arguments))
build._emit(name, build.KERNELS[name], Path(sys.argv[1]))
"""


@needs_library
def test_a_kernel_for_arm_is_made_on_any_machine_and_calls_nothing_but_the_c_library(tmp_path: Path) -> None:
    """One that lets go of memory: numba's own functions for that are of the machine too. All of them, in an
    emulator: benchmarks/acceptance/arm.py."""
    assert LIBRARY is not None
    name = "messages._scan_messages"
    variables = environment("armv8-a", tmp_path) | {"FORGE_KERNELS": "jit"}
    run(OF_ARM, tmp_path, json.dumps(LIBRARY.table[name]["arguments"]), **variables)
    made = tmp_path / f"{name}.o"
    assert int.from_bytes(made.read_bytes()[18:20], "little") == AARCH64
    listed = subprocess.run(["nm", made], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert ["T", ahead.symbol(name)] in symbols
    assert {called for kind, called in symbols if kind in "Uw"} <= build._OUTSIDE


def test_a_read_only_cache_may_hold_a_library_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_CACHE_DIR", str(tmp_path))
    folder = cache_folder.__wrapped__()
    (folder / ahead.LIBRARY).write_bytes(b"")
    folder.chmod(0o500)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache_folder.__wrapped__() == folder
