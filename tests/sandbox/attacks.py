"""Attacks that one process survives: what each tries, as the row that `hostile.py` takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyseccomp
from ruamel.yaml import YAML

PATHS = {  # of files, folders and devices that a transform has no business with
    "passwd": "/etc/passwd",
    "shadow": "/etc/shadow",
    "own environment": "/proc/self/environ",
    "environment of process 1": "/proc/1/environ",
    "own memory": "/proc/self/mem",
    "mounts": "/proc/self/mountinfo",
    "own descriptors": "/proc/self/fd/0",
    "random": "/dev/urandom",
    "terminal": "/dev/tty",
    "standard library": os.__file__,
}
READERS = (
    "read_open",
    "read_os_open",
    "read_fileio",
    "read_native",
    "read_by_import",
    "read_by_traceback",
    "stat_path",
    "access_path",
)


@dataclass(frozen=True)
class Outside:
    """What stands outside: a secret file, its folder, the id of a process."""

    secret: Path
    folder: Path
    victim: int


def attacks(outside: Outside) -> dict[str, dict[str, Any]]:
    """Name -> the row of the attack."""
    made: dict[str, dict[str, Any]] = {}
    for reader in READERS:
        made[f"{reader} secret"] = {"attack": reader, "path": str(outside.secret)}
    for name, path in PATHS.items():
        made[f"read {name}"] = {"attack": "read_os_open", "path": path}
    for lister in ("list_folder", "scan_folder", "change_folder"):
        for path in ("/", str(outside.folder), "/proc/self/fd", "/dev/shm"):
            made[f"{lister} {path}"] = {"attack": lister, "path": path}
    made["read_by_path_finder"] = {"attack": "read_by_path_finder", "folder": os.path.dirname(os.__file__)}
    for path in ("/proc/self/exe", "/proc/self/cwd", "/proc/self/fd/0"):
        made[f"link_of {path}"] = {"attack": "link_of", "path": path}
    for path in (
        str(outside.folder / "new"),
        "/dev/shm/forge-attack",
        "/tmp/forge-attack",
        str(outside.secret),
    ):
        made[f"write {path}"] = {"attack": "write_file", "path": path}
    calls = _calls(outside)
    for call, *arguments in calls["os"]:
        made[f"os.{call} {arguments}"] = {"attack": "change_by_os", "call": call, "arguments": arguments}
    for simple in (
        "folder_of_process",
        "start_thread",
        "run_program",
        "write_inherited",
        "environment",
        "who_is_root",
    ):
        made[simple] = {"attack": simple}
    for name, flags in {"private": 0x22, "shared": 0x21}.items():
        made[f"memory mapped {name}"] = {"attack": "raise_memory", "flags": flags}
    for name, *arguments in calls["kernel"]:
        number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
        if number >= 0:  # not every architecture has them all
            row = {"attack": "call_kernel", "name": name, "number": number, "arguments": arguments}
            made[f"call {name} {arguments}"] = row
    return made


def _calls(outside: Outside) -> Any:
    """calls.yaml, with what stands outside put in."""
    held = {"{victim}": outside.victim, "{secret}": str(outside.secret), "{folder}": str(outside.folder)}

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        if isinstance(value, str) and value not in held:
            return value.replace("{folder}", str(outside.folder))
        return held.get(value, value) if isinstance(value, str) else value

    read = YAML(typ="safe").load(Path(__file__).with_name("calls.yaml"))
    return {kind: put(calls) for kind, calls in read.items()}
