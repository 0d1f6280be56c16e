"""Makes the library of `ahead.py`: the machine code of all kernels, of the functions that numba compiles.

A kernel's LLVM IR, as numba has optimised it, is made position-independent code with its entry alone visible,
and the objects are linked. What a kernel takes is known from its calls, or from the table of another library:
then nothing is run, so it may be for another machine (see `cross.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import config as numba_config
from numba.core import types

from forge_gpu.kernels import cpu
from forge_gpu.kernels.ahead import LIBRARY, SCALARS, TABLE, parsed, symbol
from forge_gpu.kernels.cache import sources
from forge_gpu.kernels.calls import call_the_rest
from forge_gpu.kernels.jit import KERNELS, OPTIONS

HERE = platform.machine()
LINKERS = ("ld", "ld.lld")
OTHER_LINKERS = ("{}-linux-gnu-ld", "ld.lld")
"""Those for machines of another kind."""

_OUTSIDE = frozenset(("memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "sqrt"))
"""What a kernel may call: functions of the C library, which the process has."""


_OWNED = re.compile(r"^declare .*@NRT_MemInfo_call_dtor\(.*$", re.MULTILINE)
"""What lets go of an array's memory. Kernels are given arrays and make none, so none is theirs to let go."""


def linker(machine: str = HERE) -> str | None:
    """This machine's linker for a kind of machines; without one there can be no library."""
    return next((found for found in map(shutil.which, _linkers(machine)) if found), None)


def _linkers(machine: str) -> list[str]:
    return [name.format(machine) for name in (LINKERS if machine == HERE else OTHER_LINKERS)]


def build(
    folder: Path, features: Sequence[str] = (), like: dict[str, Any] | None = None, machine: str = HERE
) -> int:
    """Write the library and its table into a folder; how many kernels it has.

    features: flags of /proc/cpuinfo that a processor needs for it, where it may come to another. like: the
    kernels of another library's table; without it the jobs of `forge warm` have run. machine: what it is for,
    as platform.machine() says it there; see `cross.aim_at`. Raises RuntimeError for
    a kernel that no call compiled, or that calls what no other process has, and where there is no linker or
    it fails.
    """
    if like is None:
        call_the_rest()
    else:
        for name, called in like.items():
            import_module(f"{cpu.__name__}.{name.partition('.')[0]}")
            KERNELS[name].compile(tuple(_type(kind) for kind in called["arguments"]))
    with TemporaryDirectory(prefix="forge-kernels-") as name:
        objects = Path(name)
        kernels = {kernel: _emit(kernel, compiled, objects) for kernel, compiled in KERNELS.items()}
        made = objects / LIBRARY
        _link(sorted(objects.glob("*.o")), made, machine)
        content = made.read_bytes()
    table = {
        "sources": sources(),
        "digest": hashlib.sha256(content).hexdigest(),
        "machine": machine,
        "features": list(features),
        "kernels": kernels,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / LIBRARY, content)
    _replace(folder / TABLE, json.dumps(table, indent=1).encode())
    return len(kernels)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def _emit(name: str, dispatcher: Any, folder: Path) -> dict[str, Any]:
    """Write a kernel's object; its line of the table."""
    spelled = {
        json.dumps([[_spelled(kind) for kind in signature.args], _spelled(signature.return_type)]): signature
        for signature in dispatcher.nopython_signatures
    }
    if len(spelled) != 1:
        raise RuntimeError(f"the kernel {name} was called with {len(spelled)} kinds of arguments, not one")
    ((text, signature),) = spelled.items()
    compiled = dispatcher.overloads[signature.args]
    entry = compiled.fndesc.llvm_func_name
    module = llvm.parse_assembly(str(compiled.library._final_module))
    if entry not in {function.name for function in module.functions if not function.is_declaration}:
        # It came from numba's cache, which has machine code for this process alone.
        fresh = numba.njit(**OPTIONS)(dispatcher.py_func)
        fresh.compile(signature.args)
        (compiled,) = fresh.overloads.values()
        entry = compiled.fndesc.llvm_func_name
        module = llvm.parse_assembly(str(compiled.library._final_module))
    machine = _machine(compiled.library.codegen)
    module = _alone(module, entry, symbol(name), machine)
    outside = {function.name for function in module.functions if function.is_declaration}
    outside = {called for called in outside if not called.startswith("llvm.")} - _OUTSIDE
    if outside:
        raise RuntimeError(f"the kernel {name} calls {', '.join(sorted(outside))}")
    (folder / f"{name}.o").write_bytes(machine.emit_object(module))
    arguments, result = json.loads(text)
    return {"arguments": arguments, "result": result}


def _alone(module: Any, entry: str, name: str, machine: Any) -> Any:
    """A module of a function and what it calls, the function under another name."""
    for item in (*module.functions, *module.global_variables):
        if not item.is_declaration and item.name != entry:
            item.linkage = "internal"
    text = str(module).replace(f'@"{entry}"', f"@{name}").replace(f"@{entry}", f"@{name}")
    text = _OWNED.sub("define internal void @NRT_MemInfo_call_dtor(ptr %0) { ret void }", text)
    module = llvm.parse_assembly(text)
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return module


def _machine(codegen: Any) -> Any:
    """What numba compiles for, but that the code may lie anywhere."""
    target = llvm.Target.from_triple(llvm.get_process_triple())
    name = numba_config.CPU_NAME or llvm.get_host_cpu_name()
    return target.create_target_machine(name, codegen._tm_features, 3, "pic", "default")


def _spelled(kind: Any) -> Any:
    """A type as the table has it."""
    if kind == types.none:
        return None
    if isinstance(kind, types.BaseTuple):
        return [_spelled(item) for item in kind.types]
    if isinstance(kind, types.Array) and kind.layout == "C":
        return f"{kind.dtype}[{kind.ndim}]"
    if str(kind) in SCALARS:
        return str(kind)
    raise RuntimeError(f"a kernel takes or gives {kind}, which no library can")


def _type(spelled: Any) -> Any:
    """What `_spelled` was given, but for an array that may only be read."""

    def array(items: str, dimensions: int) -> Any:
        return types.Array(_scalar(items), dimensions, "C")

    return parsed(spelled, _scalar, array, types.Tuple)


def _scalar(name: str) -> Any:
    return getattr(types, {"bool": "boolean"}.get(name, name))


def _link(objects: Sequence[Path], path: Path, machine: str = HERE) -> None:
    found = linker(machine)
    if found is None:
        raise RuntimeError(f"there is no linker ({', '.join(_linkers(machine))})")
    command = [found, "-shared", "-O1", "--gc-sections", "-z", "noexecstack", "-o", str(path)]
    done = subprocess.run([*command, *map(str, objects)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{found}: {done.stderr.strip()}")
